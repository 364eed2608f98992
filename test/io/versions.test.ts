import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/config.js";
import { rangesOf, versionMismatch, versionsOfConfig } from "../../src/io/versions.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { unknownVersions } from "../../src/wire/versions.js";
import { recordOf } from "../support/recorder.js";

const config = resolveConfig({ name: "us", applicationVersion: { min: 1, max: 3, current: 2 } });
const odd = versionsOfConfig(resolveConfig({ name: "odd", applicationVersion: { min: 5, max: 6, current: 5 } }));

describe("a peer's own record", () => {
  it.each([
    ["alive", MemberState.alive, true],
    ["suspect", MemberState.suspect, true],
    ["dead", MemberState.dead, false],
    ["left", MemberState.left, false],
  ])("that is %s decides (state %d): refused is %s (E-08)", (_, state, isRefused) => {
    const mismatch = versionMismatch(config, "m1", [recordOf("m1", { versions: odd, state })]);
    expect(mismatch !== null).toBe(isRefused);
  });

  it("is the only one that counts, and need not be there", () => {
    const records = [recordOf("m2", { versions: odd }), recordOf("m1")];
    expect([versionMismatch(config, "m1", records), versionMismatch(config, "m3", records)]).toEqual([null, null]);
    expect(versionMismatch(config, "m2", records)).toMatch(/^application versions do not fit: m2 speaks 5/);
  });

  it("shows ranges to users, or null where there are none", () => {
    expect(rangesOf(odd)).toEqual({
      protocol: { min: 1, max: 1, current: 1 },
      application: { min: 5, max: 6, current: 5 },
    });
    expect(rangesOf(unknownVersions)).toEqual({ protocol: null, application: null });
  });
});
