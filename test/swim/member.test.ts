import { describe, expect, it } from "vitest";
import {
  accusationJump,
  aliveJump,
  Claim,
  incarnationDistance,
  nextIncarnation,
  stateOfClaim,
  supersedes,
} from "../../src/swim/member.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";

const { alive, suspect, dead, left } = MemberState;
const states = [alive, suspect, dead, left] as const;
const claims = [Claim.alive, Claim.suspect, Claim.death, Claim.farewell] as const;

/** SWIM section 4.2 and M-2.1 to M-2.3, written out by hand: whether a claim at the same incarnation wins. */
const atSameIncarnation: Record<number, readonly boolean[]> = {
  //          alive  suspect death  farewell
  [alive]: [false, true, true, true],
  [suspect]: [false, false, true, true],
  [dead]: [false, false, false, true],
  [left]: [false, false, false, false],
};

describe("the precedence of claims", () => {
  for (const known of [1, 5, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 3, 2 ** 32 - 1]) {
    const at = (ahead: number): number => (known + ahead) >>> 0;
    for (const state of states) {
      for (const claim of claims) {
        it(`of claim ${claim} on state ${state} at ${known} follows the table`, () => {
          expect(supersedes(claim, at(0), state, known)).toBe(atSameIncarnation[state]?.[claim]);
          expect(supersedes(claim, at(-1), state, known)).toBe(false);
          expect(supersedes(claim, at(-1000), state, known)).toBe(false);
          expect(supersedes(claim, at(2), state, known)).toBe(true);
          const jump = claim === Claim.alive ? aliveJump : accusationJump;
          expect(supersedes(claim, at(jump), state, known)).toBe(at(jump) !== 0);
          expect(supersedes(claim, at(jump + 1), state, known)).toBe(false);
        });
      }
    }
  }

  it("never lets incarnation 0 win, which nobody uses (E-09)", () => {
    for (const claim of claims) expect(supersedes(claim, 0, alive, 2 ** 32 - 1)).toBe(false);
  });

  it("leads to the state of the claim", () => {
    expect(claims.map(stateOfClaim)).toEqual([alive, suspect, dead, left]);
  });
});

describe("incarnations", () => {
  it("are compared in serial-number arithmetic", () => {
    expect(incarnationDistance(2 ** 32 - 1, 1)).toBe(2);
    expect(incarnationDistance(1, 2 ** 32 - 1)).toBe(-2);
    expect(incarnationDistance(7, 7)).toBe(0);
  });

  it("step over 0 when they wrap", () => {
    expect(nextIncarnation(1)).toBe(2);
    expect(nextIncarnation(2 ** 32 - 1)).toBe(1);
  });

  it("allow a refutation after any accusation that counts, again and again (E-03)", () => {
    let known = 1;
    for (let round = 0; round < 200_000; round++) {
      const accused = (known + accusationJump) >>> 0 || 1;
      if (!supersedes(Claim.death, accused, alive, known)) throw new Error(`accusation ${round} is out of bounds`);
      const refuted = nextIncarnation(accused);
      if (!supersedes(Claim.alive, refuted, dead, accused)) throw new Error(`cannot refute ${round}`);
      if (!supersedes(Claim.alive, refuted, alive, known)) throw new Error(`who missed accusation ${round} is stuck`);
      known = refuted;
    }
    expect(known).toBeGreaterThan(0);
  });
});
