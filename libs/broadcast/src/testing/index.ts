/*
 * For authors of transports: the suite that every transport has to pass.
 */
export { conformance } from './conformance.suite.js';
export type { ConformanceBroker, ConformanceGate, ConformanceSetup } from './stage.js';
export { collect, until } from './conditions.js';
export { jobsConformance, type JobsSetup } from './jobs.suite.js';
