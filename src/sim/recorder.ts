/** What a cluster went through, member by member, for a picture of it. */
import type { ObservedChange } from "../swim/observer.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Fact, Witness } from "./witness.js";

/** How the running others hold a member, in shares of `levels`; what is missing does not know it. */
export interface Held {
  readonly atMs: number;
  readonly alive: number;
  readonly suspect: number;
  readonly dead: number;
  readonly left: number;
}

/** Somebody who came to know: by the word of another, or by itself. */
export interface Learnt {
  readonly atMs: number;
  readonly who: string;
  readonly from: string | null;
}

/** An event at one member, and how the others came to know of it. */
export interface Wave {
  readonly kind: "crash" | "leave" | "join";
  readonly member: string;
  readonly atMs: number;
  /** Who ran then, did not hold it so already, and learnt of it or still runs. */
  readonly others: number;
  readonly learnt: readonly Learnt[];
}

export interface Dated {
  readonly atMs: number;
  readonly fact: Fact;
}

export interface Recording {
  readonly members: readonly string[];
  /** By member, the changes only, in order. */
  readonly held: readonly (readonly Held[])[];
  readonly facts: readonly Dated[];
  readonly waves: readonly Wave[];
  /** Datagrams sent, by bin of `binMs`. */
  readonly sent: readonly number[];
  readonly endMs: number;
  /** Everybody knew everybody from the start. */
  readonly isFormed: boolean;
}

export const levels = 64;
export const binMs = 10;

/** All that start at once are followed up to this many: of 2,000 that join, four million tellings are too many. */
const mostJoins = 48;
const mostWaves = 400;
/** Nothing, or MemberState and one. */
const unknown = 0;
const [alive, suspect, dead, left] = [
  MemberState.alive + 1,
  MemberState.suspect + 1,
  MemberState.dead + 1,
  MemberState.left + 1,
];
const states = 5;
const stateOfKind = { crash: dead, leave: left, join: alive } as const;

interface OpenWave extends Wave {
  others: number;
  readonly learnt: Learnt[];
  /** Who is told nothing by it any more, or never was to be. */
  readonly knowing: Set<string>;
}

/** Keeps who holds whom for what as it changes, so that a picture costs no look at the nodes. */
export class Recorder implements Witness {
  readonly #capacity: number;
  readonly #members: string[] = [];
  readonly #index = new Map<string, number>();
  readonly #running = new Set<number>();
  readonly #leaving = new Set<number>();
  /** By observer and member. */
  readonly #views: Uint8Array;
  /** By member and state: how many of the running others hold it so. */
  readonly #counts: Int32Array;
  readonly #held: Held[][] = [];
  readonly #facts: Dated[] = [];
  #waves: OpenWave[] = [];
  readonly #waveOf = new Map<string, OpenWave>();
  readonly #sent: number[] = [];
  #endMs: number | null = null;
  #isFormed = false;

  /** @param members how many names there will be. */
  constructor(members: number) {
    this.#capacity = members;
    this.#views = new Uint8Array(members * members);
    this.#counts = new Int32Array(members * states);
  }

  /** Every running node knows every other: nobody has to join. */
  acquainted(atMs: number): void {
    this.#isFormed = true;
    this.#waves = [];
    this.#waveOf.clear();
    for (const member of this.#running) {
      for (const node of this.#running) if (node !== member) this.#hold(node, member, alive);
      this.#note(atMs, member);
    }
  }

  /** What comes after belongs to taking the cluster apart. */
  end(atMs: number): void {
    this.#endMs ??= atMs;
  }

  get recording(): Recording {
    return {
      members: this.#members,
      held: this.#held,
      facts: this.#facts,
      waves: this.#waves,
      sent: Array.from(this.#sent, (count) => count ?? 0),
      isFormed: this.#isFormed,
      endMs: this.#endMs ?? this.#facts.at(-1)?.atMs ?? 0,
    };
  }

  // --- Witness

  happened(atMs: number, fact: Fact): void {
    if (this.#endMs !== null) return;
    this.#facts.push({ atMs, fact });
    switch (fact.kind) {
      case "start":
        return this.#start(atMs, fact.node);
      case "close":
        return this.#close(atMs, fact.node);
      case "leave":
        this.#leaving.add(this.#indexOf(fact.node));
        return this.#follow(atMs, "leave", fact.node);
      case "stall":
      case "resume":
      case "partition":
      case "cut":
      case "heal":
        return;
      default:
        fact satisfies never;
    }
  }

  became(atMs: number, node: string, member: string, { after }: ObservedChange, toldBy: string | null): void {
    if (this.#endMs !== null || node === member) return;
    const [observer, subject] = [this.#indexOf(node), this.#indexOf(member)];
    if (!this.#running.has(observer)) return;
    const state = after + 1;
    this.#hold(observer, subject, state);
    this.#note(atMs, subject);
    const wave = this.#waveOf.get(member);
    if (wave === undefined || state !== stateOfKind[wave.kind] || wave.knowing.has(node)) return;
    wave.knowing.add(node);
    wave.learnt.push({ atMs, who: node, from: toldBy });
  }

  sent(atMs: number): void {
    if (this.#endMs !== null) return;
    const bin = Math.floor(atMs / binMs);
    this.#sent[bin] = (this.#sent[bin] ?? 0) + 1;
  }

  // --- nodes come and go

  #start(atMs: number, name: string): void {
    const observer = this.#indexOf(name);
    this.#running.add(observer);
    this.#leaving.delete(observer);
    // What happened before is history to it.
    if (atMs > 0) for (const wave of this.#waveOf.values()) wave.knowing.add(name);
    this.#eachOther(observer, (subject) => {
      this.#views[observer * this.#capacity + subject] = unknown;
      this.#count(subject, unknown, 1);
      this.#note(atMs, subject);
    });
    this.#follow(atMs, "join", name);
  }

  #close(atMs: number, name: string): void {
    const observer = this.#indexOf(name);
    this.#running.delete(observer);
    for (const wave of this.#waveOf.values()) {
      if (wave.member === name || wave.knowing.has(name)) continue;
      wave.others--;
      wave.knowing.add(name);
    }
    this.#eachOther(observer, (subject) => {
      this.#count(subject, this.#view(observer, subject), -1);
      this.#note(atMs, subject);
    });
    if (!this.#leaving.has(observer)) this.#follow(atMs, "crash", name);
  }

  /** From now on, whoever comes to hold the member so has learnt of this. */
  #follow(atMs: number, kind: Wave["kind"], member: string): void {
    this.#waveOf.delete(member);
    if ((kind === "join" && atMs === 0 && this.#waves.length >= mostJoins) || this.#waves.length >= mostWaves) return;
    const subject = this.#indexOf(member);
    const running = [...this.#running].filter((observer) => observer !== subject);
    const knowing = running.filter((observer) => this.#view(observer, subject) === stateOfKind[kind]);
    const others = kind === "join" && atMs === 0 ? this.#capacity - 1 : running.length - knowing.length;
    const names = new Set(knowing.map((observer) => this.#members[observer] as string));
    const wave: OpenWave = { kind, member, atMs, others, learnt: [], knowing: names };
    this.#waves.push(wave);
    this.#waveOf.set(member, wave);
  }

  // --- who holds whom for what

  #view(observer: number, subject: number): number {
    return this.#views[observer * this.#capacity + subject] as number;
  }

  #hold(observer: number, subject: number, state: number): void {
    this.#count(subject, this.#view(observer, subject), -1);
    this.#views[observer * this.#capacity + subject] = state;
    this.#count(subject, state, 1);
  }

  #count(subject: number, state: number, by: number): void {
    this.#counts[subject * states + state] = (this.#counts[subject * states + state] as number) + by;
  }

  /** Writes down how a member is held now, unless it is as before. */
  #note(atMs: number, subject: number): void {
    const history = this.#held[subject];
    if (history === undefined) return;
    const base = subject * states;
    const countOf = (state: number): number => this.#counts[base + state] as number;
    const others = countOf(unknown) + countOf(alive) + countOf(suspect) + countOf(dead) + countOf(left);
    // The smallest share shows, and only all are all.
    const share = (state: number): number => {
      const count = countOf(state);
      return count === 0 ? 0 : Math.max(1, Math.floor((levels * count) / others));
    };
    const now: Held = { atMs, alive: share(alive), suspect: share(suspect), dead: share(dead), left: share(left) };
    if (history.at(-1)?.atMs === atMs) history.pop();
    const last = history.at(-1);
    if (last === undefined || !isSame(last, now)) history.push(now);
  }

  #eachOther(observer: number, visit: (subject: number) => void): void {
    for (let subject = 0; subject < this.#capacity; subject++) if (subject !== observer) visit(subject);
  }

  #indexOf(name: string): number {
    let index = this.#index.get(name);
    if (index === undefined) {
      this.#index.set(name, (index = this.#members.length));
      this.#members.push(name);
      this.#held.push([]);
    }
    return index;
  }
}

function isSame(a: Held, b: Held): boolean {
  return a.alive === b.alive && a.suspect === b.suspect && a.dead === b.dead && a.left === b.left;
}
