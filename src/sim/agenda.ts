import { DeadlineHeap, type Scheduled } from "../io/scheduler.js";

/** Everything that happens at one time, in the order in which it was sent. */
class Moment implements Scheduled {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly arrivals: (() => void)[] = [];
}

/** What is under way, by the time at which it arrives. */
export class Agenda {
  readonly #moments = new DeadlineHeap<Moment>();
  readonly #momentAt = new Map<number, Moment>();

  /** Infinity when nothing is under way. */
  earliestMs(): number {
    return this.#moments.earliestMs();
  }

  add(atMs: number, arrive: () => void): void {
    let moment = this.#momentAt.get(atMs);
    if (moment === undefined) {
      this.#momentAt.set(atMs, (moment = new Moment()));
      this.#moments.set(moment, atMs);
    }
    moment.arrivals.push(arrive);
  }

  /** Lets everything arrive that is due now. */
  arrive(nowMs: number): void {
    const moment = this.#moments.due(nowMs);
    if (moment === null) return;
    this.#moments.remove(moment);
    this.#momentAt.delete(nowMs);
    for (const arrive of moment.arrivals) arrive();
  }
}
