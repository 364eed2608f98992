import type { MemberHandle } from "../wire/addon.js";
import type { Evidence } from "../wire/generated/wire/evidence.js";
import type { Directory } from "./effects.js";

/** What an entry of the history tells of its member. */
export const Outcome = { suspected: 0, confirmed: 1, refuted: 2, dead: 3, left: 4 } as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export interface HistoryEntry {
  readonly atMs: number;
  /** Who accused, confirmed or declared it dead; the member itself when it refuted or left; 0 when unknown. */
  readonly by: MemberHandle;
  readonly incarnation: number;
  readonly evidence: Evidence;
  readonly outcome: Outcome;
}

type References = Pick<Directory, "retain" | "release">;

/** Entries kept of each member. */
export const entriesPerMember = 8;
/** More confirmations of one suspicion are not kept: accuser and verdict stay in reach. */
const mostConfirmations = entriesPerMember - 3;

/**
 * The last accusations of each member and what came of them: a ring of 8 for each of the members accused most
 * recently. 140 bytes a member, in typed arrays that grow with the number of the accused. Holds one reference on each
 * member named, so that names last as long as the entries.
 */
export class History {
  /** Place of each member's ring; the member that was accused longest ago is first. */
  readonly #places = new Map<MemberHandle, number>();
  #atMs = new Float64Array(0);
  #by = new Uint32Array(0);
  #incarnations = new Uint32Array(0);
  #kinds = new Uint8Array(0);
  /** Entries ever written to each ring. */
  #written = new Uint32Array(0);
  readonly #directory: References;
  readonly #maxMembers: number;

  constructor(directory: References, maxMembers: number) {
    this.#directory = directory;
    this.#maxMembers = maxMembers;
  }

  get size(): number {
    return this.#places.size;
  }

  has(member: MemberHandle): boolean {
    return this.#places.has(member);
  }

  /** Appends an entry; the oldest of the member goes when there are 8, the member accused longest ago when full. */
  note(member: MemberHandle, entry: HistoryEntry): void {
    const place = this.#takePlace(member);
    if (place < 0 || (entry.outcome === Outcome.confirmed && this.#isConfirmedEnough(place))) return;
    const written = this.#written[place] as number;
    const at = place * entriesPerMember + (written % entriesPerMember);
    if (written >= entriesPerMember) this.#release(this.#by[at] as number);
    const by = entry.by !== 0 && this.#directory.retain(entry.by) ? entry.by : 0;
    this.#atMs[at] = entry.atMs;
    this.#by[at] = by;
    this.#incarnations[at] = entry.incarnation;
    this.#kinds[at] = entry.outcome * 16 + entry.evidence;
    this.#written[place] = written + 1;
  }

  /** Oldest first; empty for whoever was never accused or is forgotten. */
  entriesOf(member: MemberHandle): HistoryEntry[] {
    const place = this.#places.get(member);
    if (place === undefined) return [];
    const written = this.#written[place] as number;
    const count = Math.min(written, entriesPerMember);
    return Array.from({ length: count }, (_, i) => this.#read(place, written - count + i));
  }

  /** Gives every reference back. */
  clear(): void {
    for (const [member, place] of this.#places) this.#empty(member, place);
    this.#places.clear();
  }

  #read(place: number, index: number): HistoryEntry {
    const at = place * entriesPerMember + (index % entriesPerMember);
    const kind = this.#kinds[at] as number;
    return {
      atMs: this.#atMs[at] as number,
      by: this.#by[at] as number,
      incarnation: this.#incarnations[at] as number,
      evidence: (kind % 16) as Evidence,
      outcome: Math.floor(kind / 16) as Outcome,
    };
  }

  #isConfirmedEnough(place: number): boolean {
    const written = this.#written[place] as number;
    for (let i = 1; i <= mostConfirmations; i++) {
      if (written < i || this.#read(place, written - i).outcome !== Outcome.confirmed) return false;
    }
    return true;
  }

  /** The member's ring, now the one accused last; -1 when nothing is to be kept. */
  #takePlace(member: MemberHandle): number {
    const known = this.#places.get(member);
    if (known !== undefined) {
      this.#places.delete(member);
      this.#places.set(member, known);
      return known;
    }
    if (this.#maxMembers === 0) return -1;
    const place = this.#places.size < this.#maxMembers ? this.#places.size : this.#evict();
    this.#grow(place + 1);
    this.#directory.retain(member);
    this.#places.set(member, place);
    return place;
  }

  #evict(): number {
    const [oldest] = this.#places as Iterable<[MemberHandle, number]>;
    const [member, place] = oldest as [MemberHandle, number];
    this.#places.delete(member);
    this.#empty(member, place);
    return place;
  }

  #empty(member: MemberHandle, place: number): void {
    const count = Math.min(this.#written[place] as number, entriesPerMember);
    for (let i = 0; i < count; i++) this.#release(this.#by[place * entriesPerMember + i] as number);
    this.#written[place] = 0;
    this.#directory.release(member);
  }

  #release(member: MemberHandle): void {
    if (member !== 0) this.#directory.release(member);
  }

  #grow(places: number): void {
    if (places <= this.#written.length) return;
    const room = Math.min(Math.max(4, 2 * this.#written.length), this.#maxMembers);
    this.#atMs = grown(this.#atMs, new Float64Array(room * entriesPerMember));
    this.#by = grown(this.#by, new Uint32Array(room * entriesPerMember));
    this.#incarnations = grown(this.#incarnations, new Uint32Array(room * entriesPerMember));
    this.#kinds = grown(this.#kinds, new Uint8Array(room * entriesPerMember));
    this.#written = grown(this.#written, new Uint32Array(room));
  }
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
