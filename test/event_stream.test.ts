import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { Message, NodeEvent } from "../src/delegates.js";
import { EventHub } from "../src/event_stream.js";

function message(from: string): Message {
  return { from, payload: new Uint8Array(0), direct: true, reliable: false };
}

const label = (event: NodeEvent): string => (event.type === "message" ? event.detail.from : event.type);

function emitAll(hub: EventHub, labels: readonly string[]): void {
  for (const one of labels) hub.emit("message", message(one));
}

async function readAll(stream: AsyncIterable<NodeEvent>): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of stream) seen.push(label(event));
  return seen;
}

describe("listeners", () => {
  it("hear their event in the order they were added, until they are removed", () => {
    const hub = new EventHub();
    const heard: string[] = [];
    const first = ({ from }: Message): unknown => heard.push(`first ${from}`);
    hub.add("message", first);
    hub.add("message", first);
    hub.add("message", ({ from }) => heard.push(`second ${from}`));
    hub.add("error", () => heard.push("error"));
    emitAll(hub, ["a"]);
    hub.remove("message", first);
    hub.remove("message", first);
    emitAll(hub, ["b"]);
    expect(heard).toEqual(["first a", "second a", "second b"]);
  });

  it("for one event hear one, and may add themselves again meanwhile", () => {
    const hub = new EventHub();
    const heard: string[] = [];
    const again = ({ from }: Message): void => {
      heard.push(from);
      if (from === "a") hub.add("message", again, true);
    };
    hub.add("message", again, true);
    emitAll(hub, ["a", "b", "c"]);
    expect([heard, hub.has("message")]).toEqual([["a", "b"], false]);
  });

  it.each([
    [true, false, ["a", "b"]],
    [false, true, ["a"]],
  ])("that are added again are for one event only as they were said to be last: %s, %s", (first, last, expected) => {
    const hub = new EventHub();
    const heard: string[] = [];
    const listener = ({ from }: Message): unknown => heard.push(from);
    hub.add("message", listener, first);
    hub.add("message", listener, last);
    emitAll(hub, ["a", "b"]);
    expect(heard).toEqual(expected);
  });

  it("that throw reach the error event, and the others still hear", () => {
    const hub = new EventHub();
    const heard: unknown[] = [];
    hub.add("message", () => {
      throw "a text";
    });
    hub.add("message", ({ from }) => heard.push(from));
    hub.add("error", (error) => heard.push(error.message));
    emitAll(hub, ["a"]);
    expect(heard).toEqual(["a text", "a"]);
  });

  it("of the error event that throw, or that do not exist, leave a process warning", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const hub = new EventHub();
    hub.emit("error", new Error("unheard"));
    hub.add("error", () => {
      throw new Error("twice");
    });
    hub.emit("error", new Error("heard"));
    expect(warned.mock.calls.map(([error]) => (error as Error).message)).toEqual(["unheard", "twice"]);
    warned.mockRestore();
  });

  it("that remove another one or add one during an event do not disturb it", () => {
    const hub = new EventHub();
    const heard: string[] = [];
    const second = (): unknown => heard.push("second");
    hub.add("message", () => {
      heard.push("first");
      hub.remove("message", second);
      hub.add("message", () => heard.push("late"));
    });
    hub.add("message", second);
    emitAll(hub, ["a"]);
    expect(heard).toEqual(["first", "second"]);
  });
});

describe("an event iterator", () => {
  it("gives what a bounded list gives: the latest events in order, and the number lost", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.nat(20), { maxLength: 10 }),
        async (room, bursts) => {
          const hub = new EventHub();
          const stream = hub.stream(room);
          let next = 0;
          let lost = 0;
          for (const size of bursts) {
            const burst = Array.from({ length: size }, () => String(next++));
            emitAll(hub, burst);
            lost += Math.max(0, size - room);
            for (const expected of burst.slice(-room)) {
              const { value } = await stream.next();
              expect(label(value)).toBe(expected);
            }
          }
          expect(stream.dropped).toBe(lost);
        },
      ),
    );
  });

  it("wakes readers that wait, in their order", async () => {
    const hub = new EventHub();
    const stream = hub.stream(4);
    const reads = [stream.next(), stream.next(), stream.next()];
    emitAll(hub, ["a", "b"]);
    hub.end();
    const results = await Promise.all(reads);
    expect(results.map(({ value, done }) => (done ? "done" : label(value)))).toEqual(["a", "b", "done"]);
  });

  it("still gives what waits after the end, then ends, and takes nothing new", async () => {
    const hub = new EventHub();
    const stream = hub.stream(4);
    emitAll(hub, ["a", "b"]);
    hub.end();
    emitAll(hub, ["c"]);
    stream.push({ type: "message", detail: message("d") });
    expect(await readAll(stream)).toEqual(["a", "b"]);
  });

  it("that is left with break is forgotten by the hub", async () => {
    const hub = new EventHub();
    const stream = hub.stream(4);
    emitAll(hub, ["a", "b"]);
    for await (const event of stream) {
      expect(label(event)).toBe("a");
      break;
    }
    emitAll(hub, ["c", "d", "e", "f", "g"]);
    expect(stream.dropped).toBe(0);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });

  it("does not disturb another one that is slower", async () => {
    const hub = new EventHub();
    const [slow, quick] = [hub.stream(2), hub.stream(2)];
    for (const one of ["a", "b", "c"]) {
      emitAll(hub, [one]);
      expect(label((await quick.next()).value)).toBe(one);
    }
    hub.end();
    expect(await readAll(slow)).toEqual(["b", "c"]);
    expect([slow.dropped, quick.dropped]).toEqual([1, 0]);
  });
});
