import { type Observer, ProbeEnd, unheardOf } from "../../src/swim/observer.js";
import type { MemberHandle } from "../../src/wire/addon.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { Recorder, Stage } from "./recorder.js";

const ends = Object.fromEntries(Object.entries(ProbeEnd).map(([name, value]) => [value, name]));
const stateName = (state: number): string => (state === unheardOf ? "-" : (MemberState[state] as string));

/** Writes down what an observer of the recorder's core is told, a line each. */
export function observing({ recorder }: Pick<Stage, "recorder">): string[] {
  const lines: string[] = [];
  const name = (member: MemberHandle): string => (member === 0 ? "-" : recorder.directory.nameOf(member));
  const observer: Observer = {
    probeStarted: (target, health) => lines.push(`probe ${name(target)} health ${health}`),
    probeEnded: (target, how, rttMs, health) =>
      lines.push(`${ends[how]} ${name(target)} rtt ${rttMs} health ${health}`),
    suspected: (_nowMs, { subject, from, incarnation, evidence, confirmations, expected, timeoutMs }) =>
      lines.push(
        `${name(subject)} suspected by ${name(from)} at ${incarnation} (${Evidence[evidence]}), ` +
          `${confirmations} of ${expected}, ${timeoutMs} ms`,
      ),
    refuted: (_nowMs, from, accused, evidence, incarnation) =>
      lines.push(`refuted ${name(from)} at ${accused} (${Evidence[evidence]}) with ${incarnation}`),
    became: (_nowMs, member, { before, after, incarnation, by, evidence }) => {
      const change = `${stateName(before)} > ${stateName(after)} ${incarnation}`;
      lines.push(`${name(member)} ${change} by ${name(by)} (${Evidence[evidence]})`);
    },
    quarantined: (isOn) => lines.push(`quarantine ${isOn ? "begins" : "ends"}`),
    healthChanged: (before, score) => lines.push(`health ${before} > ${score}`),
  };
  Object.assign(recorder satisfies Recorder, { observer });
  return lines;
}
