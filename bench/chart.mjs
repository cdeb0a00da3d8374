/*
 * The goals as a chart: a bar for the ratio, a line for its spread, a mark at the goal, on a logarithmic scale.
 */

const [WIDTH, LEFT, RIGHT, HEIGHT, TOP] = [960, 430, 130, 26, 56];
/** Where the scale begins: what is less is as good as nothing. */
const LEAST = 0.01;
const COLOURS = { met: '#2f855a', missed: '#c53030', void: '#718096' };

/** @returns {string} SVG */
export function chart(goals) {
  const shown = goals.filter(({ median }) => median !== undefined);
  const all = shown.flatMap(({ least, most, goal }) => [least, most, goal]).filter((value) => value > 0);
  const [low, high] = [LEAST, Math.max(2, ...all)].map(Math.log10);
  const x = (value) => LEFT + ((Math.log10(Math.max(value, LEAST)) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const height = TOP + shown.length * HEIGHT + 20;
  const grid = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].filter(
    (each) => Math.log10(each) >= low && Math.log10(each) <= high,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    '<text x="12" y="22" font-size="15" font-weight="600">Ratios to others: the bar is the median, the line its spread, the mark the goal</text>',
    ...grid.flatMap((each) => [
      `<line x1="${x(each)}" x2="${x(each)}" y1="${TOP - 8}" y2="${height - 16}" stroke="${each === 1 ? '#4a5568' : '#e2e8f0'}"/>`,
      `<text x="${x(each)}" y="${TOP - 12}" text-anchor="middle" fill="#4a5568">${each}</text>`,
    ]),
    ...shown.flatMap(({ row, what, against, median, least, most, goal, met }, i) => {
      const y = TOP + i * HEIGHT;
      const middle = y + HEIGHT / 2;
      const colour = COLOURS[met ? 'met' : 'missed'];
      return [
        `<text x="12" y="${middle + 4}">${escape(`${row}  ${what}, against ${against}`)}</text>`,
        `<rect x="${LEFT}" y="${y + 6}" width="${Math.max(1, x(median) - LEFT)}" height="${HEIGHT - 12}" fill="${colour}" opacity="0.75"/>`,
        `<line x1="${x(least)}" x2="${x(most)}" y1="${middle}" y2="${middle}" stroke="#1a202c"/>`,
        `<line x1="${x(goal)}" x2="${x(goal)}" y1="${y + 2}" y2="${y + HEIGHT - 2}" stroke="#1a202c" stroke-width="3"/>`,
        `<text x="${WIDTH - RIGHT + 12}" y="${middle + 4}" fill="${colour}">${median.toPrecision(2)} ${met ? 'met' : 'missed'}</text>`,
      ];
    }),
    '</svg>\n',
  ].join('\n');
}

function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
