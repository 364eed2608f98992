import { Random } from "../../src/random.js";
import { Awareness } from "../../src/swim/awareness.js";
import { Hearing } from "../../src/swim/hearing.js";
import type { Accusation } from "../../src/swim/membership.js";
import { Probe } from "../../src/swim/probe.js";
import { Roster } from "../../src/swim/roster.js";
import { RoundTrips } from "../../src/swim/rtt.js";
import { Suspicions } from "../../src/swim/suspicion.js";
import type { MemberHandle } from "../../src/wire/addon.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { ipOf, lan, Recorder } from "./recorder.js";

/** One probe with the parts it works on. Time 0 is when the ping leaves. */
export class ProbeScene {
  readonly recorder = new Recorder();
  readonly roster = new Roster(this.recorder.directory, new Random(1));
  readonly awareness = new Awareness(8);
  readonly hearing = new Hearing(60_000, 0);
  readonly suspicions = new Suspicions();
  readonly roundTrips: RoundTrips;
  readonly accusations: Accusation[] = [];
  readonly self: MemberHandle;
  readonly probe: Probe;
  #seq = 0;

  constructor(changes: Partial<typeof lan> = {}) {
    this.self = this.add("self");
    this.roundTrips = new RoundTrips({ ...lan, ...changes });
    this.probe = new Probe(
      { ...lan, ...changes },
      {
        self: this.self,
        roster: this.roster,
        awareness: this.awareness,
        hearing: this.hearing,
        suspicions: this.suspicions,
        effects: this.recorder,
        roundTrips: this.roundTrips,
        nextTarget: (nowMs) => this.roster.nextProbeTarget(this.self, nowMs - 1e9),
        nextSeq: () => ++this.#seq,
        accuse: (_nowMs, accusation) => void this.accusations.push(accusation),
        ended: () => {},
      },
    );
  }

  add(name: string, state = MemberState.alive): MemberHandle {
    const { directory } = this.recorder;
    const member = directory.intern(name);
    this.roster.add(member, directory.internAddress(ipOf(member), 7946), state, 3, -1e6);
    return member;
  }

  with(helpers: number): { target: MemberHandle; helpers: MemberHandle[] } {
    const target = this.add("target");
    return { target, helpers: Array.from({ length: helpers }, (_, i) => this.add(`helper${i}`)) };
  }

  /** Starts the probe of `target`, whoever would be next. */
  start(target: MemberHandle, atMs = 0): number {
    const others = [...this.roster.members()].filter((member) => member !== target && member !== this.self);
    const states = others.map((member) => this.roster.stateOf(member));
    for (const member of others) this.roster.become(member, MemberState.left, 3, -1e6);
    this.probe.start(atMs);
    others.forEach((member, i) => {
      this.roster.become(member, states[i] as MemberState, 3, -1e6);
    });
    if (others.length > 0) this.hearing.notePing(atMs);
    return this.#seq;
  }

  /** Anybody's datagram arrives. */
  hears(atMs: number): void {
    this.hearing.noteHeard(atMs);
  }

  advance(toMs: number, drainedThroughMs = toMs): void {
    this.probe.advance(toMs, drainedThroughMs);
  }
}
