import { describe, expect, it } from "vitest";
import { isFitName } from "../src/config.js";
import type { Conflict } from "../src/delegates.js";
import { MemberState } from "../src/wire/generated/wire/member-state.js";
import { allSee, closeAfterEach, errorOf, newCluster, newNode, until, Watch } from "./support/nodes.js";
import { recordOf, Stage } from "./support/recorder.js";

closeAfterEach();

describe("a name conflict between real nodes (M-170)", () => {
  it("comes by gossip to those who never sync with the second, at a lower incarnation too", async () => {
    const conflicts: Conflict[] = [];
    const quiet = { pushPullIntervalMs: 0, digestSyncIntervalMs: 0 };
    const [far, near] = [
      await newNode("far", quiet, { onConflict: (conflict) => conflicts.push(conflict) }),
      await newNode("near", quiet),
    ];
    const twin = await newNode("twin", quiet);
    for (const node of [near, twin]) await node.join([far.self.address]);
    await allSee([far, near, twin], 3);
    // The first is ahead of the second for good.
    for (const meta of ["1", "2", "3"]) twin.updateMeta(meta);
    const incarnation = twin.self.incarnation;
    await until(() => far.member("twin")?.incarnation === incarnation, "the metadata");
    const synced = far.stats.syncsMerged;
    const second = await newNode("twin", quiet);
    await second.join([near.self.address]);
    await until(() => conflicts.length > 0, "the conflict at who was not joined");
    expect(conflicts[0]).toEqual({ name: "twin", address: twin.self.address, claimedBy: second.self.address });
    expect(far.stats.syncsMerged).toBe(synced);
    expect(far.member("twin")?.address).toBe(twin.self.address);
  });
});

describe("a name is taken by another address (M-171, T-037, T-039)", () => {
  it("at once when its member has left", async () => {
    const [a, b, c] = await newCluster(["a", "b", "c"]);
    const watch = new Watch(c!);
    await b!.leave();
    await b!.close();
    await watch.until("leave b");
    const again = await newNode("b", { bind: "127.0.0.2:0" });
    await again.join([a!.self.address]);
    await until(() => [a, c].every((node) => node!.member("b")?.address === again.self.address), "its new address");
    await watch.until("join b");
    expect(a!.stats.conflicts).toBe(0);
  });

  it("when its member has been dead for deadReclaimMs", async () => {
    const options = { deadReclaimMs: 500 };
    const [a, b] = await newCluster(["a", "b"], options);
    const watch = new Watch(a!);
    await b!.close();
    await watch.until("fail b");
    const again = await newNode("b", { ...options, bind: "127.0.0.2:0" });
    // Refused as a conflict until then.
    do await again.join([a!.self.address]);
    while (a!.member("b")?.address !== again.self.address);
    await watch.until("recover b");
    expect(a!.member("b")?.state).toBe("alive");
  });

  it("never while deadReclaimMs is 0, its default", async () => {
    const [a, b] = await newCluster(["a", "b"]);
    const watch = new Watch(a!);
    const address = b!.self.address;
    await b!.close();
    await watch.until("fail b");
    const again = await newNode("b", { bind: "127.0.0.2:0" });
    await again.join([a!.self.address]);
    await until(() => a!.stats.conflicts > 0, "the conflict");
    expect([a!.member("b")?.address, a!.member("b")?.state]).toEqual([address, "dead"]);
  });
});

describe("names of members (S-059)", () => {
  it.each(["a b", "über", "a_b", "a/b"])("such as %j are taken, unless validateNames forbids them", async (name) => {
    const [open, strict] = [await newNode("open"), await newNode("strict.1", { validateNames: true })];
    await strict.join([open.self.address]);
    const odd = await newNode(name);
    await odd.join([open.self.address]);
    await until(() => open.memberCount === 3, "who is open to it");
    // By gossip; and by the stream that it opens itself.
    await odd.join([strict.self.address]);
    await until(() => strict.stats.misnamed > 0, "the claim");
    expect([strict.members.map((member) => member.name).sort(), strict.member(name)]).toEqual([
      ["open", "strict.1"],
      undefined,
    ]);
    const error = await errorOf(() => newNode(name, { validateNames: true }));
    expect(error.message).toContain(`option name: ${JSON.stringify(name)} is not fit for validateNames`);
  });

  it("with control characters are never taken", () => {
    const stage = new Stage().started();
    stage.recorder.mayBeCalled = (name) => isFitName(name, false);
    stage.alive("m1\n");
    stage.sync("m2", recordOf("m3\u001b[2J", { state: MemberState.dead }), recordOf("m2"));
    expect([stage.view("m1\n"), stage.view("m3\u001b[2J"), stage.view("m2")]).toEqual([
      "unknown",
      "unknown",
      "alive 1",
    ]);
    expect(stage.swim.stats().misnamed).toBe(2);
    expect(stage.heldAfterStop()).toEqual([]);
  });
});
