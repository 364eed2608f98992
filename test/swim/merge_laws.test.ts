/**
 * What is claimed of a member forms a semilattice: a higher incarnation wins, and at the same one
 * alive < suspect < dead < left (SWIM section 4.2, E-12). Where the protocol bends that on purpose the laws say so:
 *
 * - A state sync tells no deaths, only suspicions (M-152): views agree once suspicions have run out.
 * - Accusations of somebody unknown are dropped; the first claim that admits a member is where its history begins.
 * - Metadata and versions travel with an alive. One that comes after an accusation of the same or a later incarnation
 *   is stale and not taken: so they agree of whoever is alive, and of the others when they refute.
 * - For digests a suspect is alive (ARCHITECTURE 5.11), and whoever was gone before we came is not told on.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { packVersions } from "../../src/wire/versions.js";
import { recordOf, Stage } from "../support/recorder.js";

const { alive, suspect, dead, left } = MemberState;
const known = ["m1", "m2", "m3"];
const strangers = ["m7", "m8"];
const settleMs = 60_000;
// Nothing but suspicions has a clock, and the gone are not forgotten meanwhile.
const quiet = {
  probeIntervalMs: 0,
  gossipIntervalMs: 0,
  pushPullIntervalMs: 0,
  reconnectTimeoutMs: 0,
  gossipToTheDeadMs: 3_600_000,
  digestSyncIntervalMs: 1000,
};

interface Claim {
  readonly about: string;
  readonly state: MemberState;
  readonly incarnation: number;
}

/** One message of gossip, or a state sync. */
type Told = { readonly gossip: Claim; readonly from: string } | { readonly sync: readonly Claim[] };

/** What a member says of itself at an incarnation is one thing. */
function recordFor({ about, state, incarnation }: Claim): MemberRecord {
  const range = { min: 0, max: 255, current: incarnation % 256 };
  const versions = packVersions({ protocol: range, application: range });
  return recordOf(about, { state, incarnation, meta: Uint8Array.of(incarnation, 7), versions });
}

function ready(): Stage {
  const stage = new Stage(quiet).started();
  for (const about of known) tell(stage, { gossip: { about, state: alive, incarnation: 1 }, from: "" });
  stage.alive("accuser");
  stage.alive("peer");
  stage.forget();
  return stage;
}

function tell(stage: Stage, told: Told): void {
  if ("sync" in told) return stage.sync("peer", ...told.sync.map(recordFor));
  const { about, state, incarnation } = told.gossip;
  if (state === alive) stage.alive(about, recordFor(told.gossip));
  else if (state === suspect) stage.suspect(about, told.from, incarnation);
  else if (state === left) stage.farewell(about, incarnation);
  // A death whose accuser is its subject would be a farewell.
  else stage.death(about, told.from === about ? "accuser" : told.from, incarnation);
}

function tellAll(stage: Stage, all: readonly Told[]): Stage {
  for (const told of all) tell(stage, told);
  return stage;
}

/** Every suspicion runs out. */
function settle(stage: Stage): Stage {
  stage.runTo(stage.nowMs + settleMs);
  return stage;
}

/** States and incarnations; metadata and versions of the living. */
function viewOf(stage: Stage, names: readonly string[]): string[] {
  const { roster } = stage.swim;
  return names.map((name) => {
    const member = stage.handle(name);
    if (!roster.has(member) || roster.stateOf(member) !== alive) return `${name} ${stage.view(name)}`;
    return `${name} ${stage.view(name)} [${roster.metaOf(member)}] ${roster.versionsOf(member)}`;
  });
}

/** Everything that is known, down to the metadata of the dead. */
function everything(stage: Stage): string[] {
  const { roster } = stage.swim;
  return [...known, ...strangers].map((name) => {
    const member = stage.handle(name);
    if (!roster.has(member)) return name;
    const [meta, versions, hearsay] = [roster.metaOf(member), roster.versionsOf(member), roster.isHearsay(member)];
    return `${name} ${stage.view(name)} ${meta} ${versions} ${hearsay}`;
  });
}

/** The greatest of the claims, as viewOf() shows it; `rank` orders those of one incarnation. */
function joinOf(name: string, claims: readonly Claim[], rank = (state: MemberState): MemberState => state): string {
  const about = claims.filter((claim) => claim.about === name);
  const [first] = about;
  if (first === undefined) return `${name} unknown`;
  let most = { ...first, state: rank(first.state) };
  for (const { about: _, ...claim } of about) {
    const state = rank(claim.state);
    const isGreater =
      claim.incarnation > most.incarnation || (claim.incarnation === most.incarnation && state > most.state);
    if (isGreater) most = { about: name, incarnation: claim.incarnation, state };
  }
  const { meta, versions } = recordFor(most);
  const text = `${name} ${MemberState[most.state]} ${most.incarnation}`;
  return most.state === alive ? `${text} [${meta}] ${versions}` : text;
}

/** A suspect that does not refute is dead in the end. */
function settled(state: MemberState): MemberState {
  return state === suspect ? dead : state;
}

const atFirst: readonly Claim[] = known.map((about) => ({ about, state: alive, incarnation: 1 }));
const claimsOf = (all: readonly Told[]): Claim[] => all.flatMap((told) => ("sync" in told ? told.sync : [told.gossip]));

function claim(names: readonly string[]): fc.Arbitrary<Claim> {
  const state = fc.constantFrom(alive, suspect, dead, left);
  return fc.record({ about: fc.constantFrom(...names), state, incarnation: fc.integer({ min: 1, max: 6 }) });
}

function gossip(names: readonly string[]): fc.Arbitrary<Told> {
  return fc.record({ gossip: claim(names), from: fc.constantFrom("m1", "m2", "accuser") });
}

function anything(names: readonly string[]): fc.Arbitrary<Told> {
  return fc.oneof(gossip(names), fc.record({ sync: fc.array(claim(names), { minLength: 1, maxLength: 4 }) }));
}

/** A history, and the same in another order with some of it repeated. */
function twoOrders(one: fc.Arbitrary<Told>): fc.Arbitrary<[Told[], Told[]]> {
  return fc.array(one, { maxLength: 24 }).chain((all) => {
    const repeated = fc.subarray(all).map((some) => [...all, ...some]);
    const shuffled = repeated.chain((many) => fc.shuffledSubarray(many, { minLength: many.length }));
    return fc.tuple(fc.constant(all), shuffled);
  });
}

describe("gossip about known members", () => {
  it("in any order, with repeats, ends in the greatest claim: states, incarnations, metadata and versions", () => {
    fc.assert(
      fc.property(twoOrders(gossip(known)), ([all, other]) => {
        const expected = known.map((name) => joinOf(name, [...atFirst, ...claimsOf(all)]));
        for (const order of [all, other]) expect(viewOf(tellAll(ready(), order), known)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("commutes: of any two messages it does not matter which comes first, whatever was before", () => {
    const one = gossip(known);
    fc.assert(
      fc.property(fc.array(one, { maxLength: 8 }), one, one, (before, a, b) => {
        const [first, second] = [tellAll(ready(), [...before, a, b]), tellAll(ready(), [...before, b, a])];
        expect(viewOf(first, known)).toEqual(viewOf(second, known));
      }),
      { numRuns: 500 },
    );
  });
});

describe("gossip and state syncs about known members", () => {
  it("in any order, with repeats, end in the greatest claim once suspicions have run out", () => {
    fc.assert(
      fc.property(twoOrders(anything(known)), ([all, other]) => {
        const expected = known.map((name) => joinOf(name, [...atFirst, ...claimsOf(all)], settled));
        for (const order of [all, other]) expect(viewOf(settle(tellAll(ready(), order)), known)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("are idempotent: what was told already, in any order, changes nothing at all", () => {
    fc.assert(
      fc.property(twoOrders(anything(known)), ([all, other]) => {
        const stage = tellAll(ready(), all);
        const before = everything(stage);
        stage.forget();
        tellAll(stage, other);
        expect(everything(stage)).toEqual(before);
        expect(stage.events()).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it("are associative: a state may come directly or by way of another member's", () => {
    const history = fc.array(gossip(known), { maxLength: 12 });
    const recordsOf = (stage: Stage): MemberRecord[] => stage.swim.sync.localRecords();
    fc.assert(
      fc.property(history, history, history, (one, two, three) => {
        const [a, b, c] = [one, two, three].map((told) => tellAll(ready(), told)) as [Stage, Stage, Stage];
        const direct = tellAll(ready(), one);
        direct.sync("peer", ...recordsOf(b));
        direct.sync("accuser", ...recordsOf(c));
        b.sync("accuser", ...recordsOf(c));
        a.sync("peer", ...recordsOf(b));
        expect(viewOf(settle(a), known)).toEqual(viewOf(settle(direct), known));
      }),
      { numRuns: 300 },
    );
  });
});

describe("what is told of strangers", () => {
  /** Gossip admits with an alive, a sync with any record; what accuses them before that is lost. */
  function sinceAdmitted(name: string, all: readonly Told[]): Claim[] {
    const admits = (told: Told): boolean =>
      "sync" in told ? claimsOf([told]).some(({ about }) => about === name) : told.gossip.state === alive;
    const first = all.findIndex((told) => admits(told) && claimsOf([told]).some(({ about }) => about === name));
    return first < 0 ? [] : claimsOf(all.slice(first));
  }

  it("is the greatest claim since one admitted them, once suspicions have run out", () => {
    fc.assert(
      fc.property(fc.array(anything(strangers), { maxLength: 16 }), (all) => {
        const expected = strangers.map((name) => joinOf(name, sinceAdmitted(name, all), settled));
        expect(viewOf(settle(tellAll(ready(), all)), strangers)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});

describe("two rosters that compare digests", () => {
  const everybody = [...known, ...strangers];
  const history = fc.array(anything(everybody), { maxLength: 20 });

  /** The three turns, as the two ends of a stream call them; what either lacked. */
  function reconcile(a: Stage, b: Stage, salt: number): string[] {
    const { records, wanted } = b.swim.sync.compare(salt, a.swim.sync.fingerprints(salt));
    a.sync("peer", ...records);
    const rest = a.swim.sync.recordsOf(salt, wanted);
    b.sync("peer", ...rest);
    expect(wanted.length).toBeGreaterThanOrEqual(rest.length - 1); // ourselves are always told
    return [...records, ...rest.slice(0, wanted.length)].map(({ name }) => name).sort();
  }

  function isHearsay(stage: Stage, name: string): boolean {
    return stage.swim.roster.isHearsay(stage.handle(name));
  }

  function isTold(stage: Stage, name: string): boolean {
    return stage.swim.roster.has(stage.handle(name)) && !isHearsay(stage, name);
  }

  /** Grows with every claim that is taken. */
  function precedence(stage: Stage, name: string): number {
    const { roster } = stage.swim;
    const member = stage.handle(name);
    return roster.incarnationOf(member) * 4 + roster.stateOf(member);
  }

  function exchanged(one: readonly Told[], two: readonly Told[], salt: number): [Stage, Stage] {
    const [a, b] = [settle(tellAll(ready(), one)), settle(tellAll(ready(), two))];
    reconcile(a, b, salt);
    for (const stage of [a, b]) settle(stage).swim.flush(stage.nowMs);
    return [a, b];
  }

  it("end in the same view, and have nothing to tell each other a second time", () => {
    const members = fc.array(anything(known), { maxLength: 20 });
    fc.assert(
      fc.property(members, members, fc.integer(), (one, two, salt) => {
        const [a, b] = exchanged(one, two, salt);
        expect(viewOf(a, everybody)).toEqual(viewOf(b, everybody));
        expect(a.recorder.digest).toEqual(b.recorder.digest);
        expect(reconcile(a, b, salt + 1)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it("differ at most in strangers whom one side has only heard of as gone: it keeps that to itself", () => {
    fc.assert(
      fc.property(history, history, fc.integer(), (one, two, salt) => {
        const [a, b] = exchanged(one, two, salt);
        const isHeard = (name: string): boolean => isHearsay(a, name) || isHearsay(b, name);
        const heard = everybody.filter(isHeard);
        const rest = everybody.filter((name) => !isHeard(name));
        expect(viewOf(a, rest)).toEqual(viewOf(b, rest));
        const oneSided = heard.filter((name) => isTold(a, name) !== isTold(b, name));
        for (const name of oneSided) {
          const [teller, hearer] = isTold(a, name) ? [a, b] : [b, a];
          expect(precedence(hearer, name)).toBeGreaterThanOrEqual(precedence(teller, name));
        }
        expect(reconcile(a, b, salt + 1)).toEqual(oneSided);
        if (oneSided.every((name) => !/alive/.test(a.view(name) + b.view(name)))) {
          expect(a.recorder.digest).toEqual(b.recorder.digest);
        }
      }),
      { numRuns: 500 },
    );
  });
});
