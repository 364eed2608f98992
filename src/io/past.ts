import type { EvidenceName, MemberStateName } from "../delegates.js";
import type { Directory } from "../swim/effects.js";
import { type HistoryEntry as CoreEntry, History, Outcome } from "../swim/history.js";
import type { Roster } from "../swim/roster.js";
import type { MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { explain, type Subject } from "./explain.js";

/** One accusation of a member, or what came of it. */
export interface HistoryEntry {
  /** When this node learnt of it. */
  readonly at: Date;
  /** `suspected` and `confirmed` are accusations, the others end them. */
  readonly outcome: "suspected" | "confirmed" | "refuted" | "dead" | "left";
  /** Who accused, confirmed or declared it dead; the member itself when it refuted or left; empty when unknown. */
  readonly by: string;
  /** Null when refuted. */
  readonly evidence: EvidenceName | null;
  readonly incarnation: number;
}

export interface PastParts {
  readonly directory: Pick<Directory, "find" | "nameOf" | "retain" | "release">;
  /** Monotonic milliseconds, the clock of the core. */
  readonly nowMs: () => number;
  readonly maxMembers: number;
}

/** What the node remembers of accusations, and how it tells of them. Nothing is allocated before the first one. */
export class Past {
  readonly #parts: PastParts;
  #history: History | null = null;

  constructor(parts: PastParts) {
    this.#parts = parts;
  }

  note(member: MemberHandle, entry: CoreEntry): void {
    this.#history ??= new History(this.#parts.directory, this.#parts.maxMembers);
    this.#history.note(member, entry);
  }

  /** What ends an accusation is no news of a member that was never accused. */
  noteEnd(member: MemberHandle, entry: CoreEntry): void {
    if (this.#history?.has(member)) this.#history.note(member, entry);
  }

  /** Oldest first. */
  entriesOf(name: string): readonly HistoryEntry[] {
    const entries = this.#history?.entriesOf(this.#parts.directory.find(name)) ?? [];
    return Object.freeze(entries.map((entry) => this.#toPublic(entry)));
  }

  explain(name: string, roster: Roster): string {
    return explain(this.#subjectOf(name, roster), this.entriesOf(name));
  }

  /** Gives every reference back. */
  clear(): void {
    this.#history?.clear();
    this.#history = null;
  }

  #subjectOf(name: string, roster: Roster): Subject {
    const member = this.#parts.directory.find(name);
    if (!roster.has(member)) return { name, state: null, since: null, isHearsay: false };
    const state = MemberState[roster.stateOf(member)] as MemberStateName;
    return { name, state, since: this.#toDate(roster.changedAtMs(member)), isHearsay: roster.isHearsay(member) };
  }

  #toPublic({ atMs, by, incarnation, evidence, outcome }: CoreEntry): HistoryEntry {
    return Object.freeze({
      at: this.#toDate(atMs),
      outcome: outcomeNames[outcome],
      by: by === 0 ? "" : this.#parts.directory.nameOf(by),
      evidence: outcome === Outcome.refuted ? null : (Evidence[evidence] as EvidenceName),
      incarnation,
    });
  }

  /** By the wall clock of now: the monotonic one may have stood still while the machine slept. */
  #toDate(atMs: number): Date {
    return new Date(Math.round(Date.now() - (this.#parts.nowMs() - atMs)));
  }
}

const outcomeNames: Record<Outcome, HistoryEntry["outcome"]> = {
  [Outcome.suspected]: "suspected",
  [Outcome.confirmed]: "confirmed",
  [Outcome.refuted]: "refuted",
  [Outcome.dead]: "dead",
  [Outcome.left]: "left",
};
