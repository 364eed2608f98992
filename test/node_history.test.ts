import { expect, it } from "vitest";
import { acquireDriver, releaseDriver } from "../src/io/driver.js";
import { allSee, closeAfterEach, closeLater, newNode, until } from "./support/nodes.js";

closeAfterEach();

it.each([
  ["by time-outs", { refusedConfirmations: 0 }, "timeout", "expired", /^expired$/],
  // A ping may be quicker than this verdict: who sees by its digest that somebody is behind passes on what it knows.
  ["by refusals", { refusedConfirmations: 2, backend: "linux" }, "refused", "refused", /^(refused|hearsay)$/],
] as const)(
  "a node tells why a member was declared dead, %s, also by another one",
  async (_, options, first, last, each) => {
    const before = Date.now();
    const [a, b, c] = [await newNode("a", options), await newNode("b", options), await newNode("c", options)];
    for (const node of [b, c]) await node.join([a.self.address]);
    await allSee([a, b, c], 3);
    expect([a.explain("c"), a.history("c"), a.explain("d")]).toEqual(["c is alive", [], "d is unknown to this node"]);
    await c.close();
    await until(() => [a, b].every((node) => node.member("c")?.state === "dead"), "the death");
    for (const node of [a, b]) {
      const why = `declared dead by [ab] after \\d+\\.\\d s of suspicion; accused by [ab] \\(${first}\\)`;
      expect(node.explain("c")).toMatch(new RegExp(`^c failed at \\d{4}-.*Z: ${why}`));
      const history = node.history("c");
      expect(history.at(0)).toMatchObject({ outcome: "suspected", evidence: first });
      const evidence = expect.stringMatching(each);
      expect(history.at(-1)).toMatchObject({ outcome: "dead", evidence, by: expect.stringMatching(/^[ab]$/) });
      for (const { at } of history) {
        expect(at.getTime()).toBeGreaterThanOrEqual(before - 5);
        expect(at.getTime()).toBeLessThanOrEqual(Date.now() + 5);
      }
    }
    expect([a, b].map((node) => node.history("c").at(-1)?.evidence)).toContain(last);
    await a.close();
    expect(() => a.history("c")).toThrow(/closed/);
  },
);

it("a closed node no longer holds the names of its history", async () => {
  const driver = acquireDriver("auto");
  closeLater({ close: () => void releaseDriver("auto") });
  const [a, b] = [await newNode("a"), await newNode("b")];
  await b.join([a.self.address]);
  await allSee([a, b], 2);
  await b.close();
  await until(() => a.history("b").at(-1)?.outcome === "dead", "the death");
  expect(driver.hub.find("b")).not.toBe(0);
  await a.close();
  expect(driver.hub.find("b")).toBe(0);
});
