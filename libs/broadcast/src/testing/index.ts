/*
 * For authors of transports: the suite that every transport has to pass.
 */
export {
  conformance,
  type ConformanceBroker,
  type ConformanceGate,
  type ConformanceSetup,
} from './conformance.suite.js';
export { collect, until } from './conditions.js';
