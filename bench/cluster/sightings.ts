import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { SeenKind } from "../../src/cluster.js";
import { sharedMs } from "./clock.js";

/** What one thread saw of a member: times are of the clock that all threads share. */
export interface Sighting {
  readonly member: string;
  /** When probes of it began, or who sent to it was refused; those from before its end too. */
  readonly touchedMs: readonly number[];
  /** One for each observer that was told. */
  readonly toldMs: readonly number[];
}

/** When who was told what became of some members. */
export class Sightings {
  readonly #kind: SeenKind;
  /** By member: when each observer was told. */
  readonly #told = new Map<string, Map<string, number>>();
  readonly #touchedMs = new Map<string, number[]>();
  readonly #watch = (message: unknown): void => this.#noteTouch(message as { member: string; how?: string });

  constructor(kind: SeenKind, members: readonly string[]) {
    this.#kind = kind;
    for (const member of members) {
      this.#told.set(member, new Map());
      this.#touchedMs.set(member, []);
    }
    for (const name of ["tattler:probe", "tattler:suspicion"]) subscribe(name, this.#watch);
  }

  note(kind: SeenKind, about: string, observer: string): void {
    const told = this.#told.get(about);
    if (told === undefined || kind !== this.#kind || told.has(observer)) return;
    told.set(observer, sharedMs());
  }

  /** How many observers were told, of all members together. */
  get count(): number {
    return [...this.#told.values()].reduce((sum, told) => sum + told.size, 0);
  }

  results(): Sighting[] {
    return [...this.#told].map(([member, told]) => ({
      member,
      touchedMs: this.#touchedMs.get(member) ?? [],
      toldMs: [...told.values()],
    }));
  }

  stop(): void {
    for (const name of ["tattler:probe", "tattler:suspicion"]) unsubscribe(name, this.#watch);
  }

  #noteTouch({ member, how }: { readonly member: string; readonly how?: string }): void {
    if (how !== undefined && how !== "started") return;
    this.#touchedMs.get(member)?.push(sharedMs());
  }
}
