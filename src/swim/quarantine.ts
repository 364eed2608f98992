import type { MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { ProbeEnd } from "./observer.js";
import type { Roster } from "./roster.js";

export interface QuarantineConfig {
  readonly quarantineMs: number;
  readonly probeIntervalMs: number;
}

/** Accusations count for so long: a member that nobody hears well is accused by another one every two seconds. */
const windowMs = 30_000;
/** So many different accusers are no accident; in a small cluster half of the others. */
const mostAccusers = 5;
/** Where all are accused the network is to blame: so many times as many accusers as others refute accusations. */
const outlierFactor = 5;
/** Probes that tell how good our links are: ten seconds of both rounds. */
const probesJudged = 20;
/** With so many answers links are good. */
const fewestAnswered = probesJudged / 2;
/** With fewer than these they are bad: what was good before counts no more. */
const fewestOfDoubtful = probesJudged / 3;
/** Who was deaf for so many probe intervals has been declared dead meanwhile, and hears of it soon after. */
const deafIntervals = 3;
const soonMs = 10_000;
/** Going deaf once is an accident; twice in this time is a habit (experiment Rapid, figure 9). */
const flapWindowMs = 300_000;
/** Each quarantine is twice as long as the one before, up to so many times the first; an hour of peace ends that. */
const longestFactor = 16;
const peaceMs = 3_600_000;

const allAnswered = (1 << probesJudged) - 1;

/**
 * Keeps a member out that keeps failing and coming back (Rapid, section 7: one-way and lossy links). Nobody else can
 * tell whether it or its accusers are at fault, but it can: it was deaf while all others talked, or it is accused far
 * more than others are while its own probes fail too. Then it concedes the accusation instead of refuting it, judges
 * nobody, and comes back once its links have been good for long enough. So nobody is ever kept out but by itself.
 */
export class Quarantine {
  /** Times that it was entered. */
  entered = 0;
  /** Since when we have not been in it. */
  endedAtMs = Number.NEGATIVE_INFINITY;
  readonly #config: QuarantineConfig;
  readonly #roster: Roster;
  #isOn = false;
  #factor = 1;
  /** From the first to the last probe that ended while we heard nobody, of those in a row. */
  #deafFromMs = Number.NEGATIVE_INFINITY;
  #deafToMs = Number.NEGATIVE_INFINITY;
  #isDeaf = false;
  #flappedAtMs = Number.NEGATIVE_INFINITY;
  /** In quarantine: for how long links have been good since they were bad. */
  #goodForMs = 0;
  #judgedAtMs = 0;
  /** One bit a probe, the last one lowest: whether its target itself answered. */
  #answers = allAnswered;
  readonly #accusedAtMs = new Map<MemberHandle, number>();
  /** In quarantine: whose last probe failed. */
  readonly #unanswered = new Set<MemberHandle>();
  /**
   * Refutations of others, in this window and in the one before. They reach everybody; most accusations are refuted
   * before they do.
   */
  #elsewhere = 0;
  #elsewhereBefore = 0;
  #windowEndsAtMs = Number.NEGATIVE_INFINITY;

  /** @param config with a quarantineMs or a probeIntervalMs of 0 there is none. */
  constructor(config: QuarantineConfig, roster: Roster) {
    this.#config = config;
    this.#roster = roster;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Somebody else had to refute an accusation. */
  noteRefutation(nowMs: number): void {
    this.#roll(nowMs);
    this.#elsewhere++;
  }

  /** We are accused, which we would refute. Whether to concede it instead: from now on we are in quarantine. */
  handleAccused(nowMs: number, from: MemberHandle, evidence: Evidence): boolean {
    const { quarantineMs, probeIntervalMs } = this.#config;
    if (quarantineMs === 0 || probeIntervalMs === 0 || from === 0) return false;
    // Each who only heard of it tells us too, to our face.
    if (evidence !== Evidence.hearsay) this.#accusedAtMs.set(from, nowMs);
    if (!this.#isOn && (this.#flaps(nowMs) || this.#isOutlier(nowMs))) this.#enter(nowMs);
    return this.#isOn;
  }

  /** A probe of ours ended. Whether the quarantine ends with it. */
  handleProbe(atMs: number, how: ProbeEnd, target: MemberHandle): boolean {
    if (how === ProbeEnd.gone || (this.#isOn && this.#failsAgain(target, how))) return false;
    this.#noteDeafness(atMs, how === ProbeEnd.inconclusive);
    this.#answers = ((this.#answers << 1) | (how === ProbeEnd.direct ? 1 : 0)) & allAnswered;
    if (!this.#isOn) return false;
    this.#judgeLinks(atMs);
    if (this.#goodForMs < this.#config.quarantineMs * this.#factor) return false;
    this.#isOn = false;
    this.endedAtMs = atMs;
    this.#accusedAtMs.clear();
    this.#unanswered.clear();
    return true;
  }

  /**
   * Who did not answer the last time either says nothing of our links. Nobody tells one in quarantine who has died, and
   * it judges nobody, so that it probes a dead successor on the ring for ever.
   */
  #failsAgain(target: MemberHandle, how: ProbeEnd): boolean {
    if (how !== ProbeEnd.failed) {
      this.#unanswered.delete(target);
      return false;
    }
    if (this.#unanswered.has(target)) return true;
    this.#unanswered.add(target);
    return false;
  }

  /**
   * Where a fifth of all datagrams is lost, a third of the probes of the healthiest is not answered by the target, and
   * now and then half of twenty: that proves nothing, and counts for neither side. Where it was bad, an end of the
   * quarantine took minutes (the whole grid with lost datagrams).
   */
  #judgeLinks(atMs: number): void {
    const answered = this.#answered;
    if (answered >= fewestAnswered) this.#goodForMs += atMs - this.#judgedAtMs;
    else if (answered < fewestOfDoubtful) this.#goodForMs = 0;
    this.#judgedAtMs = atMs;
  }

  get #answered(): number {
    let answered = 0;
    for (let bits = this.#answers; bits !== 0; bits &= bits - 1) answered++;
    return answered;
  }

  /** Whether it is not the first time lately that we were deaf for so long. */
  #flaps(nowMs: number): boolean {
    const isLong = this.#deafToMs - this.#deafFromMs >= deafIntervals * this.#config.probeIntervalMs;
    if (!isLong || nowMs - this.#deafToMs > soonMs || this.#deafFromMs === this.#flappedAtMs) return false;
    const isHabit = this.#deafFromMs - this.#flappedAtMs < flapWindowMs;
    this.#flappedAtMs = this.#deafFromMs;
    return isHabit;
  }

  #noteDeafness(atMs: number, isDeaf: boolean): void {
    if (isDeaf && !this.#isDeaf) this.#deafFromMs = atMs;
    if (isDeaf) this.#deafToMs = atMs;
    this.#isDeaf = isDeaf;
  }

  /** Accused by many, far more than others are, while our own probes fail as well. */
  #isOutlier(nowMs: number): boolean {
    this.#roll(nowMs);
    for (const [accuser, atMs] of this.#accusedAtMs) {
      if (nowMs - atMs > windowMs) this.#accusedAtMs.delete(accuser);
    }
    const others = this.#roster.liveCount - 1;
    const accusers = this.#accusedAtMs.size;
    if (accusers < Math.min(mostAccusers, Math.max(2, Math.ceil(others / 2)))) return false;
    if (this.#answered >= fewestAnswered) return false;
    return accusers > (outlierFactor * (this.#elsewhere + this.#elsewhereBefore)) / others;
  }

  #enter(nowMs: number): void {
    this.entered++;
    const isAgain = this.entered > 1 && nowMs - this.endedAtMs < peaceMs;
    this.#factor = isAgain ? Math.min(2 * this.#factor, longestFactor) : 1;
    this.#isOn = true;
    this.#goodForMs = 0;
    this.#judgedAtMs = nowMs;
  }

  #roll(nowMs: number): void {
    if (nowMs < this.#windowEndsAtMs) return;
    const isNext = nowMs < this.#windowEndsAtMs + windowMs;
    this.#elsewhereBefore = isNext ? this.#elsewhere : 0;
    this.#elsewhere = 0;
    this.#windowEndsAtMs = nowMs + windowMs;
  }
}
