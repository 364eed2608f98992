import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Config, type GossipOptions, optionNames, parseOption, resolveConfig } from "../src/config.js";
import { TattlerError } from "../src/errors.js";

const hour = 3_600_000;

// The table of section 1.2 (M-040 to M-075) and the option comments, written down apart from the code:
// option, lan, wan, local, least, most, and whether 0 turns it off.
const table = [
  ["protocolVersion", 1, 1, 1, 1, 1, false],
  ["probeIntervalMs", 1000, 5000, 1000, 10, hour, true],
  ["probeTimeoutMs", 500, 3000, 200, 1, hour, false],
  ["probeTimeoutMinMs", 100, 0, 50, 1, hour, true],
  ["indirectTimeoutMs", 300, 0, 300, 10, hour, true],
  ["suspicionMinMs", 2000, 0, 1000, 10, hour, true],
  ["indirectChecks", 3, 3, 1, 0, 32, false],
  ["gossipIntervalMs", 200, 500, 100, 10, 60_000, true],
  ["gossipNodes", 3, 4, 3, 1, 64, false],
  ["gossipToTheDeadMs", 30_000, 60_000, 15_000, 0, 24 * hour, false],
  ["urgentFanout", 4, 4, 4, 1, 4, true],
  ["retransmitMult", 4, 4, 2, 1, 64, false],
  ["suspicionMult", 4, 6, 3, 1, 64, false],
  ["suspicionMaxTimeoutMult", 6, 6, 6, 1, 64, false],
  ["refusedConfirmations", 2, 0, 2, 0, 8, false],
  ["awarenessMaxMultiplier", 8, 8, 8, 1, 64, false],
  ["pushPullIntervalMs", 30_000, 60_000, 15_000, 100, 24 * hour, true],
  ["reconnectTimeoutMs", 24 * hour, 24 * hour, 24 * hour, 1000, 30 * 24 * hour, true],
  ["digestSyncIntervalMs", 1000, 5000, 1000, 10, hour, true],
  ["streamTimeoutMs", 10_000, 30_000, 1000, 100, 600_000, false],
  ["deadReclaimMs", 0, 0, 0, 0, 24 * hour, false],
  ["stallToleranceMs", 5000, 5000, 5000, 0, hour, false],
  ["pingsPerSecond", 100, 100, 100, 1, 1_000_000, true],
  ["deafLimitMs", 60_000, 60_000, 60_000, 0, hour, false],
  ["datagramBytes", 1400, 1400, 1400, 512, 65_507, false],
  ["metaMaxBytes", 512, 512, 512, 0, 4096, false],
  ["queueRecords", 8192, 8192, 8192, 16, 1_000_000, false],
  ["maxSyncRecords", 65_536, 65_536, 65_536, 1, 1_048_576, false],
  ["maxStreams", 128, 128, 128, 1, 65_535, false],
  ["maxStreamsPerPeer", 64, 64, 64, 1, 65_535, false],
  ["maxSendsPerPeer", 8, 8, 8, 1, 65_535, false],
  ["maxQueuedSends", 4096, 4096, 4096, 0, 1_000_000, false],
  ["maxExchangeBytes", 67_108_864, 67_108_864, 67_108_864, 131_072, 1_073_741_824, false],
  ["maxMessageBytes", 4_194_304, 4_194_304, 4_194_304, 1, 67_108_864, false],
  ["leaveTimeoutMs", 5000, 5000, 5000, 0, hour, false],
  ["quarantineMs", 30_000, 60_000, 15_000, 1000, 3_600_000, true],
  ["historyMembers", 1024, 1024, 1024, 1, 65_536, true],
] as const;

const flags = [
  "validateNames",
  "tcpPing",
  "ringProbe",
  "gossipFeedback",
  "compression",
  "verifyIncoming",
  "encryptOutgoing",
] as const;

/** What lets the option take any of its values. */
const room = {
  probeIntervalMs: 0,
  probeTimeoutMs: 1,
  datagramBytes: 65_507,
  metaMaxBytes: 0,
  maxMessageBytes: 1,
  maxExchangeBytes: 2 ** 30,
};

function resolve(options: object = {}): Config {
  return resolveConfig({ name: "n", ...options } as GossipOptions);
}

function failure(work: () => unknown): TattlerError {
  try {
    work();
  } catch (error) {
    if (error instanceof TattlerError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const refused = (options: object): TattlerError => failure(() => resolve(options));

describe("the presets (M-040 to M-075)", () => {
  it.each(table)("of %s are %d, %d and %d", (option, lan, wan, local) => {
    expect(resolve()[option]).toBe(lan);
    const values = (["lan", "wan", "local"] as const).map((profile) => resolve({ profile })[option]);
    expect(values).toEqual([lan, wan, local]);
  });

  it("are the same in every profile for what is not a timing", () => {
    for (const profile of ["lan", "wan", "local"] as const) {
      const { name, bind, advertise, cluster, keys, meta, seed, backend, messageShare } = resolve({ profile });
      const { tcpPing, verifyIncoming, encryptOutgoing } = resolve({ profile });
      const flags = { tcpPing, verifyIncoming, encryptOutgoing };
      expect({ name, bind, advertise, cluster, keys, meta, seed, backend, messageShare, ...flags }).toEqual({
        name: "n",
        bind: "0.0.0.0:7946",
        advertise: null,
        cluster: "default",
        keys: [],
        meta: new Uint8Array(0),
        seed: null,
        backend: "auto",
        tcpPing: true,
        verifyIncoming: true,
        encryptOutgoing: true,
        messageShare: 0.25,
      });
    }
  });

  it("give way to what is given, one by one", () => {
    const config = resolve({ profile: "wan", gossipNodes: 9, tcpPing: false, seed: 5, bind: "[::1]:0" });
    expect(config).toMatchObject({ gossipNodes: 9, tcpPing: false, seed: 5, bind: "[::1]:0", gossipIntervalMs: 500 });
  });

  it("cover every option there is", () => {
    const others = ["name", "profile", "bind", "advertise", "allow", "cluster", "keys", "meta", "seed", "backend"];
    const names = [...table.map(([option]) => option), ...others, ...flags, "messageShare"];
    names.push("keyringFile", "applicationVersion", "logger");
    expect([...optionNames].sort()).toEqual([...names, "passphrase"].sort());
    expect(Object.keys(resolve()).sort()).toEqual(names.sort());
  });
});

describe("bounds", () => {
  it.each(table)(
    "of %s are kept, and the error names option, value and remedy",
    (option, _lan, _wan, _local, least, most, zero) => {
      const value = (given: number) => resolve({ ...room, [option]: given })[option];
      expect([value(least), value(most)]).toEqual([least, most]);
      const allowed = `from ${least} to ${most}${zero ? ", or 0 to turn it off" : ""}`;
      for (const bad of [least - 1, most + 1, -5].filter((number) => number !== 0 || !zero)) {
        const error = refused({ ...room, [option]: bad });
        expect(error.code).toBe("TATTLER_OPTION_INVALID");
        expect(error.message).toBe(`option ${option}: ${bad} is out of range; give a whole number ${allowed}`);
        expect(error.remedy).toBe(`give a whole number ${allowed}`);
      }
      for (const bad of [1.5, Number.NaN, Number.POSITIVE_INFINITY, "7", true, {}, []]) {
        const error = refused({ ...room, [option]: bad });
        expect(error.message).toContain(`option ${option}: ${typeof bad === "string" ? '"7"' : String(bad)} is not a`);
        expect(error.remedy).toBe(`give a whole number ${allowed}`);
      }
      if (zero) expect(value(0)).toBe(0);
    },
  );

  it("of messageShare are a share, fractions allowed", () => {
    expect([0, 0.5, 1].map((messageShare) => resolve({ messageShare }).messageShare)).toEqual([0, 0.5, 1]);
    for (const messageShare of [-0.1, 1.1, Number.NaN, "0.5"]) {
      expect(refused({ messageShare }).remedy).toBe("give a number from 0 to 1");
    }
  });

  it.each([
    [
      ["a", "n".repeat(128), "ä".repeat(64), "a b/c:d"],
      ["", "n".repeat(129), "ä".repeat(65), 7, undefined],
    ],
  ])("of name are 1 to 128 bytes of UTF-8", (good, bad) => {
    for (const name of good) expect(resolve({ name }).name).toBe(name);
    for (const name of bad) expect(refused({ name }).message).toContain("option name: ");
  });

  it("of name leave no room for control characters", () => {
    for (const name of ["a\nb", "\u0000", "a\u007f", "a\u0085"]) {
      expect(refused({ name }).message).toBe(
        `option name: ${JSON.stringify(name)} has control characters; leave them out`,
      );
    }
  });

  it.each(["name", "cluster"] as const)("of %s are whole characters, since half ones have no bytes", (option) => {
    expect(resolve({ [option]: "\u{1f426}" })[option]).toBe("\u{1f426}");
    for (const half of ["a\ud83d", "\udc26a"])
      expect(refused({ [option]: half }).message).toContain(`option ${option}: ${JSON.stringify(half)} has half`);
  });

  it.each(["bind", "advertise", "cluster"] as const)("of %s are those of a text", (option) => {
    expect(resolve({ [option]: "x" })[option]).toBe("x");
    for (const bad of ["", "x".repeat(301), 5])
      expect(refused({ [option]: bad }).message).toContain(`option ${option}: `);
  });

  it.each(["name", "bind", "advertise", "cluster"])("of %s leave no room for half a character", (option) => {
    expect(refused({ [option]: "a\ud800" }).message).toBe(
      `option ${option}: "a\\ud800" has half a character; give valid Unicode`,
    );
    expect(resolve({ [option]: "a\u{1f600}" })).toMatchObject({ [option]: "a\u{1f600}" });
  });

  it("of cluster are 255 bytes (M-042)", () => {
    expect(resolve({ cluster: "c".repeat(255) }).cluster.length).toBe(255);
    expect(refused({ cluster: "c".repeat(256) }).message).toMatch(
      /^option cluster: "c{40}" has 256 bytes; give 1 to 255/,
    );
  });

  it.each([
    ["profile", "lan, wan, local"],
    ["backend", "auto, linux, posix"],
  ])("of %s are %s", (option, allowed) => {
    for (const value of allowed.split(", ")) expect(resolve({ [option]: value })).toMatchObject({ [option]: value });
    const error = refused({ [option]: "moon" });
    expect(error.message).toBe(`option ${option}: there is no "moon"; give one of ${allowed}`);
  });

  it("of switches are true and false, of seed the safe whole numbers from 0", () => {
    for (const flag of flags) {
      expect([true, false].map((value) => resolve({ [flag]: value })[flag])).toEqual([true, false]);
      for (const value of [1, "true"]) expect(refused({ [flag]: value }).remedy).toBe("give true or false");
    }
    const seeds = [0, 1, Number.MAX_SAFE_INTEGER];
    expect(seeds.map((seed) => resolve({ seed }).seed)).toEqual(seeds);
    for (const seed of [-1, 0.5, 2 ** 53, "1"]) expect(refused({ seed }).message).toContain("is not a seed");
  });
});

describe("relations", () => {
  it("leave the indirect probes time: probeTimeoutMs is less than probeIntervalMs (E-05)", () => {
    expect(resolve({ probeIntervalMs: 501 }).probeTimeoutMs).toBe(500);
    for (const options of [
      { probeIntervalMs: 500 },
      { probeTimeoutMs: 1000 },
      { profile: "wan", probeIntervalMs: 3000 },
    ]) {
      const error = refused(options);
      expect(error.message).toMatch(
        /^option probeTimeoutMs: \d+ leaves an interval of \d+ no time for indirect probes/,
      );
      expect(error.remedy).toBe("give less than probeIntervalMs");
    }
    expect(resolve({ probeIntervalMs: 0 }).probeIntervalMs).toBe(0);
  });

  it("let the longest message fit an exchange", () => {
    const error = refused({ maxMessageBytes: 64 * 2 ** 20 });
    expect(error.message).toMatch(
      /67108864 do not fit an exchange of 67108864 bytes; .* raise maxExchangeBytes to 69271552/,
    );
    expect(resolve({ maxMessageBytes: 64 * 2 ** 20, maxExchangeBytes: 69_271_552 }).maxMessageBytes).toBe(64 * 2 ** 20);
  });

  it("let the longest metadata fit a datagram with the longest name", () => {
    expect(resolve({ metaMaxBytes: 1056 }).metaMaxBytes).toBe(1056);
    expect(refused({ metaMaxBytes: 1057 }).message).toBe(
      "option metaMaxBytes: 1057 does not fit a datagram of 1400 bytes; give at most 1056, or raise datagramBytes",
    );
    expect(refused({ datagramBytes: 512 }).message).toContain("give at most 168");
  });
});

describe("metadata (E-26)", () => {
  it("is taken as text or bytes, and copied", () => {
    expect([...resolve({ meta: "aä" }).meta]).toEqual([97, 195, 164]);
    const bytes = Uint8Array.of(1, 2);
    const { meta } = resolve({ meta: bytes });
    bytes[0] = 9;
    expect([...meta]).toEqual([1, 2]);
  });

  it("that is too long is an error, not a crash, counted in bytes", () => {
    expect(resolve({ meta: "x".repeat(512) }).meta.length).toBe(512);
    for (const meta of ["ä".repeat(257), new Uint8Array(514)]) {
      expect(refused({ meta }).message).toBe(
        "option meta: it has 514 bytes; give at most 512 bytes, or raise metaMaxBytes everywhere",
      );
    }
    expect(resolve({ meta: "x".repeat(900), metaMaxBytes: 900 }).meta.length).toBe(900);
    expect(refused({ meta: 5 }).message).toContain("neither a text nor a Uint8Array");
  });
});

describe("keys (T-002)", () => {
  it("have 16, 24 or 32 bytes, in the order given", () => {
    const keys = [32, 16, 24].map((length) => new Uint8Array(length).fill(length));
    expect(resolve({ keys }).keys).toEqual(keys);
  });

  it("are never shown, not even wrong ones", () => {
    const secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ=";
    const bytes = new TextEncoder().encode(secret);
    const wrong = [secret, [secret], [bytes], [new Uint8Array(32), bytes], { key: secret }, [[...bytes]], 7];
    for (const keys of wrong) {
      const error = refused({ keys });
      const shown = `${error.message} ${error.stack} ${JSON.stringify(error)}`;
      expect(error.message).toMatch(
        /^option keys: (it is not an array|key \d (has 28 bytes|is not a Uint8Array)); give/,
      );
      expect(shown.includes(secret) || shown.includes([...bytes].join())).toBe(false);
    }
  });
});

describe("the result", () => {
  it("is frozen, with its list of keys", () => {
    const config = resolve({ keys: [new Uint8Array(32)] });
    expect([Object.isFrozen(config), Object.isFrozen(config.keys)]).toEqual([true, true]);
  });

  it("does not follow later changes of what was given", () => {
    const keys = [new Uint8Array(32)];
    const options = { name: "n", keys, gossipNodes: 5 };
    const config = resolveConfig(options);
    options.gossipNodes = 6;
    keys.push(new Uint8Array(16));
    expect([config.gossipNodes, config.keys.length]).toEqual([5, 1]);
  });
});

describe("unknown options", () => {
  it("are errors that name the known ones", () => {
    const error = refused({ gosipNodes: 3 });
    expect(error.code).toBe("TATTLER_OPTION_UNKNOWN");
    expect(error.message).toMatch(/^there is no option gosipNodes; check the spelling; the known options are: name, /);
    for (const option of optionNames) expect(error.remedy).toContain(option);
  });

  it("include what every object inherits", () => {
    for (const option of ["constructor", "toString", "__proto__"]) {
      expect(failure(() => parseOption(option, "1")).code).toBe("TATTLER_OPTION_UNKNOWN");
    }
    expect(refused({ toString: 1 }).code).toBe("TATTLER_OPTION_UNKNOWN");
  });
});

describe("options from text", () => {
  it.each(table)("read %s as a number", (option, _lan, _wan, _local, least, most) => {
    expect(parseOption(option, String(least))).toEqual({ [option]: least });
    expect(parseOption(option, ` ${most} `)).toEqual({ [option]: most });
    for (const text of ["", " ", "many", "5x", "NaN"]) {
      expect(failure(() => parseOption(option, text)).message).toContain(
        `option ${option}: ${JSON.stringify(text)} is not a whole number; give a whole number from ${least}`,
      );
    }
    expect(failure(() => parseOption(option, String(most + 1))).message).toContain(`${most + 1} is out of range`);
  });

  it.each([
    ["validateNames", "true", true],
    ["tcpPing", "true", true],
    ["tcpPing", "false", false],
    ["verifyIncoming", "false", false],
    ["encryptOutgoing", "true", true],
    ["profile", "wan", "wan"],
    ["backend", "posix", "posix"],
    ["seed", "123", 123],
    ["messageShare", "0.5", 0.5],
    ["name", "a", "a"],
    ["bind", "127.0.0.1:0", "127.0.0.1:0"],
    ["advertise", "10.0.0.1", "10.0.0.1"],
    ["cluster", "c", "c"],
    ["meta", "role=web", "role=web"],
  ])("read %s from %j", (option, text, value) => {
    expect(parseOption(option, text)).toEqual({ [option]: value });
  });

  it.each([
    ["tcpPing", "yes"],
    ["compression", "yes"],
    ["profile", "moon"],
    ["backend", ""],
    ["seed", ""],
    ["seed", "-1"],
    ["seed", "dice"],
  ])("refuse %s from %j, and say so", (option, text) => {
    const error = failure(() => parseOption(option, text));
    expect([error.code, error.message.startsWith(`option ${option}: `)]).toEqual(["TATTLER_OPTION_INVALID", true]);
    expect(error.remedy).toMatch(/^give (true or false|one of [a-z, ]+|a whole number from 0 to 2\^53 - 1)$/);
    expect(error.message).toContain(text);
  });

  it("do not read keys, which do not belong on a command line", () => {
    const error = failure(() => parseOption("keys", "c2VjcmV0"));
    expect(error.code).toBe("TATTLER_OPTION_UNKNOWN");
    expect(error.message).not.toContain("c2VjcmV0");
    expect(error.remedy).not.toContain("keys");
  });

  it("never throw anything but a TattlerError, whatever the text", () => {
    fc.assert(
      fc.property(fc.constantFrom(...optionNames), fc.string(), (option, text) => {
        try {
          parseOption(option, text);
        } catch (error) {
          expect(error).toBeInstanceOf(TattlerError);
        }
      }),
    );
  });
});
