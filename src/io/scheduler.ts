const gridMsPerItem = 1 / 5;
const widestGridMs = 20;

/** What is scheduled: one slot each in the heap. */
export interface Scheduled {
  /** Kept by the scheduler: place in the heap, -1 when not in it. */
  heapIndex: number;
  /** Kept by the scheduler. */
  deadlineMs: number;
}

/** The earliest of many deadlines: a binary heap whose entries know their place. One serves a whole process. */
export class DeadlineHeap<T extends Scheduled> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** Earliest deadline, Infinity when empty. */
  earliestMs(): number {
    return this.#heap[0]?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  /** Sets or moves a deadline. Infinity takes the item out. */
  set(item: T, deadlineMs: number): void {
    if (deadlineMs === Number.POSITIVE_INFINITY) return this.remove(item);
    item.deadlineMs = deadlineMs;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#heap.length;
      this.#heap.push(item);
    }
    this.#rise(item);
    this.#sink(item);
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    item.deadlineMs = Number.POSITIVE_INFINITY;
    const last = this.#heap.pop() as T;
    if (last === item) return;
    last.heapIndex = index;
    this.#heap[index] = last;
    this.#rise(last);
    this.#sink(last);
  }

  /** The first item due, left where it is; null when none is. */
  due(nowMs: number): T | null {
    const first = this.#heap[0];
    return first !== undefined && first.deadlineMs <= nowMs ? first : null;
  }

  /** All that are due, in order of time, left where they are. */
  allDue(nowMs: number): T[] {
    const found: T[] = [];
    const search = (index: number): void => {
      const item = this.#heap[index];
      if (item === undefined || item.deadlineMs > nowMs) return;
      found.push(item);
      search(2 * index + 1);
      search(2 * index + 2);
    };
    search(0);
    return found.sort((a, b) => a.deadlineMs - b.deadlineMs);
  }

  #rise(item: T): void {
    while (item.heapIndex > 0) {
      const parent = this.#heap[(item.heapIndex - 1) >> 1] as T;
      if (parent.deadlineMs <= item.deadlineMs) return;
      this.#exchange(parent, item);
    }
  }

  #sink(item: T): void {
    for (;;) {
      const left = this.#heap[2 * item.heapIndex + 1];
      const right = this.#heap[2 * item.heapIndex + 2];
      const child = right !== undefined && right.deadlineMs < (left as T).deadlineMs ? right : left;
      if (child === undefined || child.deadlineMs >= item.deadlineMs) return;
      this.#exchange(item, child);
    }
  }

  #exchange(upper: T, lower: T): void {
    const index = upper.heapIndex;
    upper.heapIndex = lower.heapIndex;
    lower.heapIndex = index;
    this.#heap[upper.heapIndex] = upper;
    this.#heap[lower.heapIndex] = lower;
  }
}

/**
 * When the timer for a deadline goes off: of many nodes in one process those whose ticks are near each other share a
 * turn, a system call and the wake-ups of both threads. Of up to five none waits longer than for a whole millisecond.
 */
export function onGrid(deadlineMs: number, items: number): number {
  const gridMs = Math.max(1, Math.min(widestGridMs, Math.ceil(items * gridMsPerItem)));
  return Math.ceil(deadlineMs / gridMs) * gridMs;
}
