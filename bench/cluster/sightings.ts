import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { SeenKind } from "../../src/cluster.js";

/** When who was told what became of some members. Times are milliseconds from the construction on. */
export class Sightings {
  readonly beganMs = performance.now();
  readonly #kind: SeenKind;
  /** By member: when each observer was told. */
  readonly #told = new Map<string, Map<string, number>>();
  /** By member: when the first probe of it began, or who sent to it was refused. */
  readonly #touchedMs = new Map<string, number>();
  readonly #watch = (message: unknown): void => this.#noteTouch(message as { member: string; how?: string });

  constructor(kind: SeenKind, members: readonly string[]) {
    this.#kind = kind;
    for (const member of members) this.#told.set(member, new Map());
    for (const name of ["tattler:probe", "tattler:suspicion"]) subscribe(name, this.#watch);
  }

  note(kind: SeenKind, about: string, observer: string): void {
    const told = this.#told.get(about);
    if (told === undefined || kind !== this.#kind || told.has(observer)) return;
    told.set(observer, performance.now() - this.beganMs);
  }

  /** How many observers were told, of all members together. */
  get count(): number {
    return [...this.#told.values()].reduce((sum, told) => sum + told.size, 0);
  }

  /** By member, in milliseconds; `probedMs` is null when none was seen. */
  results(): { readonly probedMs: number | null; readonly toldMs: readonly number[] }[] {
    return [...this.#told].map(([member, told]) => ({
      probedMs: this.#touchedMs.get(member) ?? null,
      toldMs: [...told.values()].sort((a, b) => a - b),
    }));
  }

  stop(): void {
    for (const name of ["tattler:probe", "tattler:suspicion"]) unsubscribe(name, this.#watch);
  }

  #noteTouch({ member, how }: { readonly member: string; readonly how?: string }): void {
    if (how !== undefined && how !== "started") return;
    if (this.#told.has(member) && !this.#touchedMs.has(member)) {
      this.#touchedMs.set(member, performance.now() - this.beganMs);
    }
  }
}
