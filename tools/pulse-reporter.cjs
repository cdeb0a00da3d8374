/*
 * Tells scripts/test.mjs, over file descriptor 3, that jest's event loop turns and, when the run is complete, how it went
 * and what still keeps jest from ending. One JSON object a line.
 */
const { writeSync } = require('node:fs');

const INTERVAL = 1_000;
/** The pipe to scripts/test.mjs. */
const PIPE = 3;

module.exports = class PulseReporter {
  #success;

  onRunStart() {
    setInterval(() => this.#beat(), INTERVAL).unref();
  }

  onRunComplete(_contexts, { numFailedTests, numRuntimeErrorTestSuites, wasInterrupted }) {
    // Its own word for it, `success`, is written after this.
    this.#success = numFailedTests === 0 && numRuntimeErrorTestSuites === 0 && !wasInterrupted;
    this.#beat();
  }

  #beat() {
    const line = this.#success === undefined ? {} : { success: this.#success, open: process.getActiveResourcesInfo() };
    writeSync(PIPE, `${JSON.stringify(line)}\n`);
  }
};
