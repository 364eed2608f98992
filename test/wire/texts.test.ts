import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AsciiTexts, mostTexts } from "../../src/wire/texts.js";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("the texts of frames", () => {
  it("are what the bytes say, of whatever was read before", () => {
    const texts = new AsciiTexts();
    // Of so few letters that many have one hash, as "Aa" and "BB" do.
    const letters = fc.constantFrom("A", "B", "a", "B", "C", "\u007f", "\u0000");
    const many = fc.array(fc.oneof(fc.string({ unit: letters, maxLength: 6 }), fc.string({ unit: "binary-ascii" })));
    fc.assert(
      fc.property(many, (list) => {
        for (const text of [...list, "Aa", "BB", ...list]) expect(texts.of(bytesOf(text))).toBe(text);
      }),
    );
  });

  it.each(["é", "node-é", "\u0080", "日本"])("are another's business when they are not ASCII: %s", (text) => {
    expect(new AsciiTexts().of(bytesOf(text))).toBeNull();
  });

  it("are kept up to a number, whoever makes them up", () => {
    const texts = new AsciiTexts();
    for (let i = 0; i < 2.5 * mostTexts; i++) {
      texts.of(bytesOf(`name-${i}`));
      if (texts.size > mostTexts) break;
    }
    expect([texts.size <= mostTexts, texts.of(bytesOf("name-0"))]).toEqual([true, "name-0"]);
  });
});
