/** One measurement: when, in minutes, and what. */
export interface Point {
  readonly minute: number;
  readonly value: number;
}

export interface Slope {
  readonly perMinute: number;
  /** Standard error of perMinute; Infinity with fewer than three points, which prove nothing. */
  readonly error: number;
}

/** A slope within so many of its standard errors of zero is none. */
const errorsOfNoise = 3;

/** The line of least squares through the points. */
export function slopeOf(points: readonly Point[]): Slope {
  const { length } = points;
  const meanMinute = mean(points.map(({ minute }) => minute));
  const meanValue = mean(points.map(({ value }) => value));
  let spread = 0;
  let joint = 0;
  for (const { minute, value } of points) {
    spread += (minute - meanMinute) ** 2;
    joint += (minute - meanMinute) * (value - meanValue);
  }
  if (length < 3 || spread === 0) return { perMinute: 0, error: Number.POSITIVE_INFINITY };
  const perMinute = joint / spread;
  let squares = 0;
  for (const { minute, value } of points) squares += (value - meanValue - perMinute * (minute - meanMinute)) ** 2;
  return { perMinute, error: Math.sqrt(squares / (length - 2) / spread) };
}

/** Whether what is measured does not grow: the slope is noise, or too small to matter, or downwards. */
export function isFlat({ perMinute, error }: Slope, boundPerMinute: number): boolean {
  if (!Number.isFinite(error)) return false;
  return perMinute <= Math.max(errorsOfNoise * error, boundPerMinute);
}

/** Without the first part, in which caches fill and code is compiled. */
export function afterWarmUp(points: readonly Point[], share: number): readonly Point[] {
  const first = points[0]?.minute ?? 0;
  const last = points.at(-1)?.minute ?? 0;
  return points.filter(({ minute }) => minute >= first + share * (last - first));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
