/** What of the result of `attune tune --json` is used, and in which words. Knows nothing of VS Code. */

/** `shown` is a share of the places, `right` of those shown. */
interface AcceptanceScores {
  readonly shown: number;
  readonly right: number;
}

export interface TuneReport {
  readonly repository: string;
  readonly interrupted: boolean;
  readonly proof: {
    readonly gain: number;
    readonly acceptance: {
      readonly places: number;
      readonly with_prompt: AcceptanceScores;
      readonly without: AcceptanceScores;
    } | null;
  } | null;
  readonly proven: boolean;
  readonly written: string | null;
}

/** What the proof says: what people see first, the bits only where nothing was completed. */
export function proofSentence(proof: TuneReport["proof"]): string {
  if (proof === null) return "";
  if (proof.acceptance === null) return `It saves ${(100 * proof.gain).toFixed(1)} % of the bits of unseen files.`;
  const { with_prompt, without } = proof.acceptance;
  const places = Math.min(100, proof.acceptance.places);
  const shown = (scores: AcceptanceScores): string => (places * scores.shown).toFixed(0);
  const right = (scores: AcceptanceScores): string => (places * scores.shown * scores.right).toFixed(0);
  return (
    `At ${places} places of unseen files it shows ${shown(with_prompt)} suggestions, ${right(with_prompt)} of them right; ` +
    `without it ${shown(without)}, ${right(without)} of them right.`
  );
}
