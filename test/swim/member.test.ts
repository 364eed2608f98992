import fc from "fast-check";
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
import { Stage } from "../support/recorder.js";

const states = [MemberState.alive, MemberState.suspect, MemberState.dead, MemberState.left];
const claims = [Claim.alive, Claim.suspect, Claim.death, Claim.farewell];

// Sections 2.1 to 2.3 with E-12, written down apart from the code: does the claim win at the same incarnation?
const winsWhenEqual = [
  /* claim       alive  suspect  dead   left: the state that is known */
  /* alive    */ [false, false, false, false],
  /* suspect  */ [true, false, false, false],
  /* death    */ [true, true, false, false],
  /* farewell */ [true, true, true, false],
];

/** The rule in whole numbers without a bound, as RFC 1982 puts it. */
function expected(claim: Claim, claimed: number, state: MemberState, known: number): boolean {
  const ahead = (((BigInt(claimed) - BigInt(known)) % 2n ** 32n) + 2n ** 32n) % 2n ** 32n;
  if (claimed === 0) return false;
  if (ahead === 0n) return winsWhenEqual[claim]?.[state] === true;
  return ahead <= (claim === Claim.alive ? 1_073_741_824n : 65_536n);
}

const wrap = 2 ** 32;
const known = [1, 2, 7, 65_535, 65_536, 65_537, 2 ** 30, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, wrap - 2, wrap - 1];
const steps = [0, 1, 2, 65_535, 65_536, 65_537, 2 ** 30 - 1, 2 ** 30, 2 ** 30 + 1, 2 ** 31 - 1, 2 ** 31];

describe("the precedence table (sections 2.1 to 2.3, E-12)", () => {
  for (const state of states) {
    for (const claim of claims) {
      it(`decides claim ${claim} about ${MemberState[state]} as the table does, at every distance and the wrap`, () => {
        for (const at of known) {
          for (const step of steps.flatMap((distance) => [distance, -distance])) {
            const claimed = (at + step + wrap) % wrap;
            const what = `claim ${claim} at ${claimed} about ${MemberState[state]} ${at}`;
            expect(supersedes(claim, claimed, state, at), what).toBe(expected(claim, claimed, state, at));
          }
        }
      });
    }
  }

  it("agrees with the table for any numbers", () => {
    const word = fc.integer({ min: 0, max: wrap - 1 });
    fc.assert(
      fc.property(fc.constantFrom(...claims), word, fc.constantFrom(...states), word, (claim, claimed, state, at) => {
        expect(supersedes(claim, claimed, state, at)).toBe(expected(claim, claimed, state, at));
      }),
      { numRuns: 2000 },
    );
  });

  it("never takes incarnation 0, which nobody has (E-09)", () => {
    const accepted = claims.flatMap((claim) =>
      states.filter((state) => supersedes(claim, 0, state, wrap - 1) || supersedes(claim, 0, state, 0)),
    );
    expect(accepted).toEqual([]);
  });

  it("leads from each claim to its state", () => {
    expect(claims.map(stateOfClaim)).toEqual(states);
  });
});

describe("incarnations in serial-number arithmetic (RFC 1982)", () => {
  it("measures across the wrap", () => {
    expect(incarnationDistance(wrap - 1, 1)).toBe(2);
    expect(incarnationDistance(1, wrap - 1)).toBe(-2);
    expect(incarnationDistance(5, 5)).toBe(0);
    expect(incarnationDistance(1, 1 + 2 ** 31 - 1)).toBe(2 ** 31 - 1);
    expect(incarnationDistance(1, 1 + 2 ** 31)).toBe(-(2 ** 31));
  });

  it("counts on past the wrap without ever using 0", () => {
    expect(nextIncarnation(1)).toBe(2);
    expect(nextIncarnation(wrap - 2)).toBe(wrap - 1);
    expect(nextIncarnation(wrap - 1)).toBe(1);
  });
});

describe("no accusation bricks a member (E-03)", () => {
  it("lets every accusation that others accept be answered by an alive that they accept", () => {
    for (const at of known) {
      const accused = [1, 2, accusationJump].map((step) => (at + step) % wrap).filter((word) => word !== 0);
      for (const incarnation of [at, ...accused]) {
        const refutation = nextIncarnation(incarnation);
        for (const state of states.slice(1)) expect(supersedes(Claim.alive, refutation, state, incarnation)).toBe(true);
        // Whoever missed the accusation takes the refutation too.
        expect(supersedes(Claim.alive, refutation, MemberState.alive, at)).toBe(true);
      }
    }
  });

  for (const first of [1, 2 ** 16, 2 ** 31 - 1, wrap - 3, wrap - 1]) {
    it(`keeps a member able to refute when accusations build on each other, from incarnation ${first} on`, () => {
      const accused = new Stage().started();
      const witness = new Stage().started();
      // Brings "self" to its first incarnation by steps that an alive may take.
      for (let at = 1; at !== first; ) {
        at = incarnationDistance(at, first) > 0 && first - at <= 2 ** 29 ? first : at + 2 ** 29;
        accused.alive("self", { incarnation: at - 1 });
      }
      const own = accused.swim.selfIncarnation;
      witness.alive("m9", { incarnation: own });
      let claimed = own;
      for (let i = 0; i < 50; i++) {
        claimed = (claimed + accusationJump) % wrap || 1;
        witness.suspect("m9", "m9", claimed);
        witness.death("m9", "m8", claimed);
      }
      expect(witness.view("m9")).toBe(`dead ${claimed}`);
      accused.death("self", "m8", claimed);
      witness.alive("m9", { incarnation: accused.swim.selfIncarnation });
      expect(witness.view("m9")).toBe(`alive ${nextIncarnation(claimed)}`);
    });
  }

  it("lets a member answer the worst accusation again and again, through the whole circle of numbers", () => {
    let at = 1;
    let stuck = 0;
    for (let round = 0; round < 2 ** 17; round++) {
      const accused = (at + accusationJump) % wrap || 1;
      const refuted = nextIncarnation(accused);
      const isAnswered = supersedes(Claim.alive, refuted, MemberState.dead, accused);
      const reachesAll = supersedes(Claim.alive, refuted, MemberState.alive, at);
      if (!supersedes(Claim.death, accused, MemberState.alive, at) || !isAnswered || !reachesAll) stuck++;
      at = refuted;
    }
    expect(stuck).toBe(0);
  });

  it("ignores an accusation that is too far ahead, whatever the state", () => {
    for (const prepare of ["alive", "suspect", "death", "farewell"] as const) {
      const stage = new Stage().started().knows("m1", "m2");
      if (prepare === "suspect") stage.suspect("m1", "m2");
      if (prepare === "death") stage.death("m1", "m2");
      if (prepare === "farewell") stage.farewell("m1");
      const before = stage.view("m1");
      stage.suspect("m1", "m2", 2 + accusationJump);
      stage.death("m1", "m2", 2 + accusationJump);
      stage.farewell("m1", 0xffff_ffff);
      expect(stage.view("m1")).toBe(before);
    }
  });

  it("leaves room above every accusation for the alive that refutes it", () => {
    expect(aliveJump).toBeGreaterThan(accusationJump);
    expect(aliveJump).toBeLessThan(2 ** 31);
  });
});
