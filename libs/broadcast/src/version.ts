/** The version of this library, as instances announce it. */
export const VERSION = '0.1.0';
