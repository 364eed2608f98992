import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Effects } from "./effects.js";
import type { Roster } from "./roster.js";

export interface GossipConfig {
  readonly gossipNodes: number;
  readonly gossipToTheDeadMs: number;
}

/** One datagram from the queue to each of a few random members (M-134). */
export function gossipRound(
  nowMs: number,
  self: MemberHandle,
  { gossipNodes, gossipToTheDeadMs }: GossipConfig,
  roster: Roster,
  { broadcasts, datagrams }: Pick<Effects, "broadcasts" | "datagrams">,
): void {
  if (broadcasts.queueDepth() + broadcasts.messageDepth() === 0) return;
  // The recently dead too, so that one who is not dead can refute.
  const isTarget = (member: MemberHandle): boolean => {
    if (member === self) return false;
    if (roster.isLive(member)) return true;
    return roster.stateOf(member) === MemberState.dead && nowMs - roster.changedAtMs(member) <= gossipToTheDeadMs;
  };
  for (const member of roster.sample(gossipNodes, isTarget)) {
    if (datagrams.gossip(roster.addressOf(member)) === 0) return;
  }
}
