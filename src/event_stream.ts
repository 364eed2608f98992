import type { NodeEvent, NodeEventName, NodeEvents } from "./delegates.js";
import { atOnce, errorOf, isPromise } from "./io/at_once.js";

type Listener<E extends NodeEventName> = (detail: NodeEvents[E]) => void;
type AnyListener = (detail: never) => void;

const none: readonly never[] = [];

/** Who takes the failures of listeners in place of the `error` listeners. */
export type TakeFailure = (event: NodeEventName, error: Error) => void;

/** A listener, and whether it is for one event only. */
interface Added {
  readonly listener: AnyListener;
  readonly isOnce: boolean;
}

/** Typed listeners and iterators over the events of one node. */
export class EventHub {
  /** In the order they came. A list is never changed: who is being called may add and remove others. */
  readonly #listeners = new Map<NodeEventName, readonly Added[]>();
  readonly #streams = new Set<EventStream>();
  readonly #takeFailure: TakeFailure | null;

  /** @param takeFailure given in virtual time, where a listener that returns a promise fails too. */
  constructor(takeFailure: TakeFailure | null = null) {
    this.#takeFailure = takeFailure;
  }

  has(event: NodeEventName): boolean {
    return this.#of(event).length > 0;
  }

  /** A listener that is added again stays where it is. */
  add<E extends NodeEventName>(event: E, listener: Listener<E>, isOnce = false): void {
    const added: Added = { listener, isOnce };
    const place = this.#of(event).findIndex((one) => one.listener === listener);
    this.#listeners.set(event, place < 0 ? [...this.#of(event), added] : this.#of(event).with(place, added));
  }

  remove<E extends NodeEventName>(event: E, listener: Listener<E>): void {
    const others = this.#of(event).filter((one) => one.listener !== listener);
    this.#listeners.set(event, others);
  }

  /**
   * Calls every listener. What one throws, or rejects with, goes to the `error` listeners; without any, or when it is
   * one of those, it becomes a process warning. It never reaches the node.
   */
  emit<E extends NodeEventName>(event: E, detail: NodeEvents[E]): void {
    const listeners = this.#of(event);
    for (const stream of this.#streams) stream.push({ type: event, detail } as NodeEvent);
    if (event === "error" && listeners.length === 0) return warn(detail as Error);
    for (const added of listeners) {
      const listener = added.listener as Listener<E>;
      if (added.isOnce) this.remove(event, listener);
      this.#call(event, listener, detail);
    }
  }

  #of(event: NodeEventName): readonly Added[] {
    return this.#listeners.get(event) ?? none;
  }

  #call<E extends NodeEventName>(event: E, listener: Listener<E>, detail: NodeEvents[E]): void {
    try {
      const result: unknown = listener(detail);
      if (this.#takeFailure !== null) atOnce(`listener of ${event}`, result);
      else if (isPromise(result)) result.then(undefined, (thrown: unknown) => this.#report(event, thrown));
    } catch (thrown) {
      this.#report(event, thrown);
    }
  }

  #report(event: NodeEventName, thrown: unknown): void {
    const error = errorOf(thrown);
    if (this.#takeFailure !== null) this.#takeFailure(event, error);
    else if (event === "error") warn(error);
    else this.emit("error", error);
  }

  stream(capacity: number): EventStream {
    const stream = new EventStream(capacity, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    return stream;
  }

  /** Ends every iterator. */
  end(): void {
    for (const stream of this.#streams) stream.end();
  }
}

/** Events in order, as an async iterator. When its reader is too slow the oldest events go, and are counted. */
export class EventStream implements AsyncIterableIterator<NodeEvent> {
  /** Events lost because more than `capacity` were waiting. */
  dropped = 0;
  readonly #waiting: NodeEvent[] = [];
  readonly #readers: ((result: IteratorResult<NodeEvent>) => void)[] = [];
  readonly #capacity: number;
  readonly #onEnd: () => void;
  #isEnded = false;

  constructor(capacity: number, onEnd: () => void) {
    this.#capacity = capacity;
    this.#onEnd = onEnd;
  }

  push(event: NodeEvent): void {
    if (this.#isEnded) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) return reader({ value: event, done: false });
    if (this.#waiting.length >= this.#capacity) {
      this.#waiting.shift();
      this.dropped++;
    }
    this.#waiting.push(event);
  }

  end(): void {
    this.#isEnded = true;
    this.#onEnd();
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<NodeEvent>> {
    const event = this.#waiting.shift();
    if (event !== undefined) return Promise.resolve({ value: event, done: false });
    if (this.#isEnded) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<NodeEvent>> {
    this.#waiting.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function warn(error: Error): void {
  process.emitWarning(error);
}
