import type { ObservedChange } from "../swim/observer.js";

/** What really happens, whatever the members think of it. */
export type Fact =
  /** A node starts, is closed without a word, announces that it leaves, stands still, goes on. */
  | { readonly kind: "start" | "close" | "leave" | "stall" | "resume"; readonly node: string }
  /** The network falls into so many parts; 0: it is whole again. */
  | { readonly kind: "partition"; readonly parts: number }
  /** Nothing gets from one to the other any more. */
  | { readonly kind: "cut"; readonly from: string; readonly to: string }
  /** Everything that was wrong with the network ends. */
  | { readonly kind: "heal" };

/** Looks on, for pictures: is told the truth beside the opinions. Must not call the nodes. */
export interface Witness {
  happened(atMs: number, fact: Fact): void;
  /** @param toldBy whose datagram or stream made the node think so; null: it came to that by itself. */
  became(atMs: number, node: string, member: string, change: ObservedChange, toldBy: string | null): void;
  sent(atMs: number): void;
}
