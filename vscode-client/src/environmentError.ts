/** No interpreter or environment can be had; the message says why and what to do. */
export class EnvironmentError extends Error {}
