/*
 * The version of this package, as instances announce it. A constant, because bundlers lose the package.json.
 */
export const VERSION = '0.1.0';
