import type { AddressHandle, MemberHandle } from "../../src/wire/addon.js";
import type { Evidence } from "../../src/wire/generated/wire/evidence.js";
import type { MemberRecord } from "../../src/wire/records.js";

/** A record or message on the wire: names and bytes, no handles. */
export type Wire =
  | { readonly kind: "alive"; readonly record: MemberRecord }
  | {
      readonly kind: "suspect" | "death";
      readonly about: string;
      readonly by: string;
      readonly incarnation: number;
      readonly evidence: Evidence;
    }
  | { readonly kind: "ping"; readonly target: string; readonly seq: number }
  | { readonly kind: "ack" | "nack"; readonly seq: number }
  | { readonly kind: "pingRequest"; readonly target: string; readonly to: AddressHandle; readonly seq: number };
export type Gossip = Extract<Wire, { kind: "alive" | "suspect" | "death" }>;

const recordsPerDatagram = 20;

/** A plain transmit-limited queue (M-130 to M-133). */
export class GossipQueue {
  readonly #entries = new Map<MemberHandle, { wire: Gossip; sent: number }>();
  limit = 4;

  get size(): number {
    return this.#entries.size;
  }

  put(subject: MemberHandle, wire: Gossip): void {
    this.#entries.delete(subject);
    this.#entries.set(subject, { wire, sent: 0 });
  }

  has(subject: MemberHandle): boolean {
    return this.#entries.has(subject);
  }

  /** Least sent first, then newest. */
  fill(): Gossip[] {
    const order = [...this.#entries].reverse().sort(([, a], [, b]) => a.sent - b.sent);
    return order.slice(0, recordsPerDatagram).map(([subject, entry]) => {
      if (++entry.sent >= this.limit) this.#entries.delete(subject);
      return entry.wire;
    });
  }
}
