interface Growable<A> {
  readonly length: number;
  set(source: A): void;
}

/** A copy with room for `least` elements, and for a quarter more than before: what is never used is memory too. */
export function grown<A extends Growable<A>>(array: A, Type: new (length: number) => A, least: number): A {
  const larger = new Type(Math.max(array.length + Math.max(16, array.length >> 2), least));
  larger.set(array);
  return larger;
}
