import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeadlineHeap, onGrid, type Scheduled } from "../../src/io/scheduler.js";

interface Item extends Scheduled {
  readonly id: number;
}

function newItems(count: number): Item[] {
  return Array.from({ length: count }, (_, id) => ({ id, heapIndex: -1, deadlineMs: Number.POSITIVE_INFINITY }));
}

const never = Number.POSITIVE_INFINITY;
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ id: fc.nat(30), atMs: fc.oneof(fc.nat(20), fc.double({ min: 1, max: 1e9, noNaN: true })) }),
  },
  { weight: 1, arbitrary: fc.record({ id: fc.nat(30), atMs: fc.constant(never) }) },
  { weight: 1, arbitrary: fc.record({ id: fc.nat(30), atMs: fc.constant(null) }) },
);

describe("the heap of deadlines", () => {
  it("always knows the earliest of a map of deadlines, whatever is set, moved and removed", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const heap = new DeadlineHeap<Item>();
        const items = newItems(31);
        const model = new Map<number, number>();
        for (const { id, atMs } of actions) {
          const item = items[id] as Item;
          if (atMs === null) heap.remove(item);
          else heap.set(item, atMs);
          if (atMs === null || atMs === never) model.delete(id);
          else model.set(id, atMs);
          expect(heap.size).toBe(model.size);
          expect(heap.earliestMs()).toBe(Math.min(never, ...model.values()));
          for (const one of items) expect(one.deadlineMs).toBe(model.get(one.id) ?? never);
        }
      }),
    );
  });

  it("gives what is due in order of time, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { minLength: 1, maxLength: 100 }), fc.nat(1000), (deadlines, nowMs) => {
        const heap = new DeadlineHeap<Item>();
        const items = newItems(deadlines.length);
        for (const [id, atMs] of deadlines.entries()) heap.set(items[id] as Item, atMs);
        const together = heap.allDue(nowMs).map(({ deadlineMs }) => deadlineMs);
        expect(heap.size).toBe(deadlines.length);
        const order: number[] = [];
        for (let item = heap.due(nowMs); item !== null; item = heap.due(nowMs)) {
          order.push(item.deadlineMs);
          heap.remove(item);
        }
        expect(order).toEqual(deadlines.filter((atMs) => atMs <= nowMs).sort((a, b) => a - b));
        expect(together).toEqual(order);
      }),
    );
  });

  it("lets an item be removed twice and set again", () => {
    const heap = new DeadlineHeap<Item>();
    const [item] = newItems(1) as [Item];
    heap.remove(item);
    heap.set(item, 5);
    heap.remove(item);
    heap.remove(item);
    expect([heap.size, heap.earliestMs(), heap.due(1e9), item.heapIndex]).toEqual([0, never, null, -1]);
    heap.set(item, 7);
    expect([heap.due(6), heap.due(7)]).toEqual([null, item]);
  });
});

describe("the timer for a deadline", () => {
  it.each([
    [1, 1000.2, 1001],
    [5, 1000.2, 1001],
    [6, 1000.2, 1002],
    [50, 1001, 1010],
    [100, 1001, 1020],
    [5000, 1001, 1020],
    [0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])("of %d nodes at %d goes off at %d", (nodes, deadlineMs, atMs) => {
    expect(onGrid(deadlineMs, nodes)).toBe(atMs);
  });
});
