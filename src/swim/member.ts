import { MemberState } from "../wire/generated/wire/member-state.js";

/** What a membership message claims about a member. A farewell is a death that the member announced itself. */
export const Claim = { alive: 0, suspect: 1, death: 2, farewell: 3 } as const;
export type Claim = (typeof Claim)[keyof typeof Claim];

/**
 * Furthest an accusation may be ahead of what is known. Only a member raises its own incarnation, one at a time,
 * so more is forged or nonsense; ignoring it keeps refutation possible for ever (E-03).
 */
export const accusationJump = 2 ** 16;
/** The same for an alive: room for a refutation of every accusation that was within its bound. */
export const aliveJump = 2 ** 30;
/**
 * Furthest ahead that a member refutes. More than accusationJump: others may have taken several accusations, one on top
 * of the other, and who restarts at 1 meets its former life, which may have counted for months. Far less than
 * aliveJump: a few accusations that nobody else hears cannot carry it out of the others' reach.
 */
export const refutationJump = 2 ** 24;

/** Signed distance from incarnation `from` to `to` in serial-number arithmetic (RFC 1982): wraps, never bricks. */
export function incarnationDistance(from: number, to: number): number {
  return (to - from) | 0;
}

/** The incarnation after this one; 0 is never used. */
export function nextIncarnation(incarnation: number): number {
  return (incarnation + 1) >>> 0 || 1;
}

/**
 * The precedence table of SWIM section 4.2 as one function: whether a claim at `claimed` changes a member known
 * in `state` at `known`.
 *
 * A higher incarnation wins; at the same one alive < suspect < dead < left. Being a total order, any set of
 * messages ends in the same view, in whatever order it comes. Two deliberate differences from memberlist
 * (E-12): a dead member may become left, and a claim at a higher incarnation moves a dead or left record too.
 */
export function supersedes(claim: Claim, claimed: number, state: MemberState, known: number): boolean {
  if (claimed === 0) return false;
  const distance = incarnationDistance(known, claimed);
  if (distance < 0) return false;
  if (distance === 0) return claim > state;
  return distance <= (claim === Claim.alive ? aliveJump : accusationJump);
}

/** The state that a claim leads to. */
export function stateOfClaim(claim: Claim): MemberState {
  switch (claim) {
    case Claim.alive:
      return MemberState.alive;
    case Claim.suspect:
      return MemberState.suspect;
    case Claim.death:
      return MemberState.dead;
    case Claim.farewell:
      return MemberState.left;
    default:
      return claim satisfies never;
  }
}

/** No metadata is the same as empty metadata. */
export function isSameMeta(known: Uint8Array, given: Uint8Array | null): boolean {
  if (given === null) return known.length === 0;
  return known.length === given.length && known.every((byte, i) => byte === given[i]);
}
