import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Agent, cli } from "../support/agent.js";

const agents: Agent[] = [];
const directories: string[] = [];

afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.stop("SIGKILL")));
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function start(...args: string[]): Agent {
  const agent = new Agent(args);
  agents.push(agent);
  return agent;
}

function run(...args: string[]) {
  return spawnSync(process.execPath, [cli, ...args], { encoding: "utf8", timeout: 120_000 });
}

function keyFile(content: string | Buffer, mode = 0o600): string {
  const directory = mkdtempSync(join(tmpdir(), "tattler-"));
  directories.push(directory);
  const file = join(directory, "key");
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

const freshKey = (): string => run("keygen").stdout.trim();

describe("agents in separate processes", () => {
  it("find each other, encrypted, and see a kill as fail and a SIGTERM as leave", async () => {
    const key = freshKey();
    // A kill is told by refusals; who only stands still for a while is given time.
    const patient = ["--set", "suspicionMinMs=10000"];
    const a = start("--name", "a", "--key", key, "--meta", "role=seed", ...patient);
    const seed = await a.address();
    const b = start("--name", "b", "--key-file", keyFile(`${key}\n`), "--join", seed, ...patient);
    const c = start("--name", "c", "--key", key, "--join", seed, ...patient);
    await Promise.all([a.event("join", "b"), a.event("join", "c"), b.event("join", "c"), c.event("join", "b")]);
    expect((await b.event("join", "a")).member?.meta).toBe("role=seed");

    await c.stop("SIGKILL");
    await Promise.all([a.event("fail", "c"), b.event("fail", "c")]);

    const began = Date.now();
    expect(await b.stop("SIGTERM")).toBe(0);
    expect(Date.now() - began).toBeLessThan(5000);
    expect(b.events.at(-1)?.event).toBe("stopped");
    const left = await a.event("leave", "b");
    expect(left.members).toBe(1);
    expect(a.events.some(({ event, member }) => event === "fail" && member?.name === "b")).toBe(false);
    expect(a.stderr + b.stderr).toBe("");
  });

  const strangers: [
    string,
    () => string[],
    (stats: Record<string, number>, streams: Record<string, number>) => number,
  ][] = [
    ["a wrong key", () => ["--key", freshKey()], (_, streams) => streams.rejectedSeal ?? 0],
    ["no key", () => [], (_, streams) => streams.rejectedSeal ?? 0],
    ["another cluster name", () => ["--cluster", "other"], (_, streams) => streams.rejectedCluster ?? 0],
  ];
  for (const [what, flags, attempts] of strangers) {
    it(`with ${what} never appear anywhere, and their attempt is counted`, async () => {
      const key = freshKey();
      const a = start("--name", "a", "--key", key);
      const seed = await a.address();
      const own = flags();
      const rogue = start(
        "--name",
        "rogue",
        "--join",
        seed,
        ...(what === "another cluster name" ? ["--key", key] : []),
        ...own,
      );
      await rogue.until(() => rogue.stderr.includes("no address could be joined"), "the failed join");
      const b = start("--name", "b", "--key", key, "--join", seed);
      await a.event("join", "b");
      expect(await a.stop("SIGTERM")).toBe(0);
      const { stats = {}, streams = {} } = await a.event("stopped");
      expect(attempts(stats, streams)).toBeGreaterThan(0);
      for (const agent of [a, b]) expect(agent.lines.join()).not.toContain("rogue");
      expect(rogue.events.every(({ event, members }) => event === "ready" && members === 1)).toBe(true);
    });
  }

  it("join a seed that starts later", async () => {
    const a = start("--name", "a");
    const address = await a.address();
    await a.stop("SIGKILL");
    const b = start("--name", "b", "--join", address);
    await b.until(() => b.stderr.includes("next try"), "the first failure");
    const again = start("--name", "a", "--bind", address);
    await again.event("join", "b");
    await b.event("join", "a");
  });

  it("print the documented JSON for every event", async () => {
    const a = start("--name", "a", "--meta", "m");
    const ready = await a.event("ready");
    expect(Object.keys(ready)).toEqual(["ts", "event", "member", "members"]);
    expect(ready.member).toEqual({ name: "a", address: expect.stringMatching(/^127\.0\.0\.1:\d+$/), meta: "m" });
    expect(new Date(ready.ts).toISOString()).toBe(ready.ts);
    expect(ready.members).toBe(1);
  });
});

describe("the command line", () => {
  it.each([
    [["agent"], /--name is missing/],
    [["agent", "--name", "a", "--key", "short"], /--key is not base64.*16, 24 or 32/],
    [["agent", "--name", "a", "--key-file", "/nowhere/key"], /cannot be read/],
    [["agent", "--name", "a", "--set", "gossipNodes"], /not option=value/],
    [["agent", "--name", "a", "--set", "gossipNode=3"], /no option gossipNode/],
    [["agent", "--name", "a", "--set", "gossipNodes=0"], /gossipNodes: 0 is out of range.*from 1 to 64/],
    [["agent", "--name", "a", "--log", "xml"], /json or pretty/],
    [["agent", "--name", "a", "--profile", "moon"], /lan, wan, local/],
    [["agent", "--name", "a", "--keyring", "/nowhere/keyring"], /TATTLER_PASSPHRASE/],
    [["agent", "--name", "a", "--passphrase-file", "/nowhere/secret"], /without --keyring/],
    [["agent", "--nonsense"], /nonsense/],
    [["start", "--nodes", "two"], /whole number/],
    [["keygen", "--bits", "100"], /128, 192 or 256/],
    [["fly"], /no command fly/],
  ])("of %j is refused with the remedy and exit code 2", (args, problem) => {
    const { status, stderr, stdout } = run(...args);
    expect(stderr).toMatch(problem);
    expect([status, stdout]).toEqual([2, ""]);
  });

  it("tells a taken port with exit code 1", async () => {
    const a = start("--name", "a");
    const { status, stderr } = run("agent", "--name", "b", "--bind", await a.address());
    expect([status, stderr]).toEqual([1, expect.stringMatching(/cannot bind .*choose a free port/)]);
  });

  it("makes a keyring file from a key, and needs only its passphrase afterwards", async () => {
    const secret = keyFile("correct horse battery\n");
    const sealed = ["--keyring", `${secret}.ring`, "--passphrase-file", secret];
    const key = freshKey();
    const first = start("--name", "a", ...sealed, "--key", key);
    await first.event("ready");
    await first.stop("SIGTERM");
    const again = start("--name", "a", ...sealed);
    const other = start("--name", "b", "--key", key, "--join", await again.address());
    await other.event("join", "a");
    expect(again.stderr).toBe("");
    again.process.kill("SIGHUP"); // there is no key file to read again: goes on as it is
    await again.until(() => again.stderr.includes("no --key-file"), "a complaint");
  });

  it("obeys commands, answers each with its id, and says what is wrong with one", async () => {
    const a = start("--name", "a", "--commands");
    const b = start("--name", "b", "--commands", "--join", await a.address());
    await Promise.all([a.event("join", "b"), b.event("join", "a")]);
    a.command({ id: 1, send: "b", text: "hi", reliable: true });
    a.command({ id: "two", broadcast: "all" });
    a.command({ id: 3, send: "nobody", text: "hi" });
    a.command({ id: 4, fly: true });
    a.process.stdin?.write("no JSON\n");
    const answered = () => a.events.filter(({ event }) => ["done", "refused"].includes(event));
    await a.until(() => answered().length === 5, "five answers");
    const ids = answered().map(({ event, id }) => `${event} ${id}`);
    expect(ids.sort()).toEqual(["done 1", "done two", "refused 3", "refused 4", "refused null"]);
    await b.until(() => b.events.filter(({ event }) => event === "message").length === 2, "two messages");
    const got = b.events.flatMap(({ payload }) => payload ?? []);
    expect(got.sort()).toEqual(["all", "hi"]);
  });

  it("tell whom they see when asked with {members: true}", async () => {
    const a = start("--name", "a", "--commands", "--meta", "m");
    const b = start("--name", "b", "--commands", "--join", await a.address());
    await Promise.all([a.event("join", "b"), b.event("join", "a")]);
    const addresses = { a: await a.address(), b: await b.address() };
    for (const agent of [a, b]) {
      agent.command({ id: 7, members: true });
      const { id, view = [], members } = await agent.event("done");
      expect([id, members]).toEqual([7, 2]);
      const sorted = [...view].sort((one, other) => one.name.localeCompare(other.name));
      expect(sorted).toEqual([
        { name: "a", address: addresses.a, meta: "m", state: "alive", incarnation: expect.any(Number) },
        { name: "b", address: addresses.b, meta: "", state: "alive", incarnation: expect.any(Number) },
      ]);
    }
  });

  it("warns of a key file that others may read", async () => {
    const a = start("--name", "a", "--key-file", keyFile(Buffer.alloc(32, 7), 0o644));
    await a.event("ready");
    expect(a.stderr).toMatch(/chmod 600/);
  });

  it.each([
    [[], 32],
    [["--bits", "128"], 16],
    [["--bits", "192"], 24],
  ])("prints a fresh key with keygen %j", (flags, bytes) => {
    const keys = [run("keygen", ...flags).stdout, run("keygen", ...flags).stdout];
    expect(keys[0]).not.toBe(keys[1]);
    for (const key of keys) expect(Buffer.from(key.trim(), "base64")).toHaveLength(bytes);
  });

  it("shows help and version", () => {
    expect(run("--help").stdout).toContain("tattler agent");
    expect(run("--version").stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("start", () => {
  it("forms a cluster, loses a node, sees a leave, and says so in one JSON line", () => {
    const { status, stdout, stderr } = run("start", "--nodes", "10", "--seed", "3", "--json");
    expect([status, stderr.includes("tattler:")]).toEqual([0, false]);
    expect(JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "")).toEqual({
      nodes: 10,
      encrypted: true,
      convergeMs: expect.any(Number),
      crash: { firstMs: expect.any(Number), allMs: expect.any(Number), seen: 9 },
      leave: { allMs: expect.any(Number), seen: 8, reportedAsFail: 0 },
      broadcast: { delivered: 9, duplicates: 0, p50Ms: expect.any(Number), p99Ms: expect.any(Number) },
      packets: { sent: expect.any(Number), received: expect.any(Number), dropped: 0 },
      cpuSeconds: expect.any(Number),
      rssMb: expect.any(Number),
      falseFailures: 0,
    });
  });
});
