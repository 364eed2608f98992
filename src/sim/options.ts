import type { Delegates } from "../delegates.js";
import type { ObservedChange } from "../swim/observer.js";
import type { Told } from "./node.js";
import type { Witness } from "./witness.js";

/** What the user of a node would be told, once its core is at rest. */
export type SimEvent = { readonly atMs: number; readonly node: string } & Told;

export interface SimulationOptions {
  /** Of all dice: the network's and the nodes'. */
  readonly seed: number;
  /** Told every event of every node, in order. May call the nodes. */
  readonly observe?: (event: SimEvent) => void;
  /** Told of every change of a member's state at a node, whether its user is told or not. Must not call the nodes. */
  readonly observeState?: (node: string, member: string, change: ObservedChange) => void;
  /** Told what happens and who made whom think what, for pictures. */
  readonly witness?: Witness | undefined;
}

export interface OpenOptions {
  /** A node of a name that was used before gets a new address instead of its old one. Default false. */
  readonly newAddress?: boolean;
  /** Whether a ping tells a suspect that it is one (Lifeguard's buddy system); off in experiments. Default true. */
  readonly buddy?: boolean;
  /** The application's own code, called as a GossipNode calls it, but for promises (SimNode). Default: none. */
  readonly delegates?: Delegates;
}
