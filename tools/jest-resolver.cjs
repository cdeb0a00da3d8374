// Sources import './x.js' as ES modules do; under jest the file is './x.ts'. Packages are left alone:
// rewriting inside node_modules breaks them.
module.exports = (request, options) => {
  if (/^\.{1,2}\/.*\.js$/.test(request) && !options.basedir.includes('node_modules')) {
    try {
      return options.defaultResolver(request.replace(/\.js$/, '.ts'), options);
    } catch {
      // A real .js file beside the sources.
    }
  }
  return options.defaultResolver(request, options);
};
