
/* ---- colors of groups ---- */

let palettes = new Map();
const forgetColors = () => palettes.clear();
const dark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

// 24 hues in three strengths, in a space where equal steps look equal; the browser turns them into red, green, blue.
function candidates() {
  const tones = dark() ? [[0.74, 0.14], [0.62, 0.16], [0.86, 0.1]] : [[0.6, 0.17], [0.47, 0.14], [0.72, 0.14]];
  const colors = tones.flatMap(([l, c], tone) => Array.from({ length: 24 }, (_, i) => ({ l, c, h: (i * 15 + tone * 5) % 360 })));
  const canvas = el("canvas", { width: colors.length, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  colors.forEach(({ l, c, h }, i) => {
    pen.fillStyle = `oklch(${l} ${c} ${h})`;
    pen.fillRect(i, 0, 1, 1);
  });
  const bytes = pen.getImageData(0, 0, colors.length, 1).data;
  return colors.map(({ l, c, h }, i) => {
    const angle = (h * Math.PI) / 180;
    return { rgb: [bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2]], lab: [2 * l, c * Math.cos(angle) * 3, c * Math.sin(angle) * 3] };
  });
}

// Large groups choose first; each takes the color least like those of the groups near it on the map.
function makePalette(level) {
  const choices = candidates();
  const alike = choices.map((a) => choices.map((b) => Math.exp(-((a.lab[0] - b.lab[0]) ** 2 + (a.lab[1] - b.lab[1]) ** 2 + (a.lab[2] - b.lab[2]) ** 2) / 0.06)));
  const palette = new Map();
  const placed = [];
  const groups = [...levels[level].values()].filter((group) => group.group !== NOWHERE).sort(compare.size);
  for (const group of groups) {
    const [x, y] = center(group) || [0, 0];
    const crowd = new Float64Array(choices.length);
    for (const other of placed) crowd[other.choice] += 0.02 + Math.exp(-Math.hypot(x - other.x, y - other.y) / 1500);
    let best = 0;
    let least = Infinity;
    for (let i = 0; i < choices.length; i++) {
      // Golden steps break ties, and the first strength is preferred while its colors last.
      const choice = (Math.floor(((palette.size * 0.618034) % 1) * 24) + i) % choices.length;
      let cost = choice >= 24 ? 0.05 : 0;
      for (let j = 0; j < choices.length; j++) if (crowd[j]) cost += crowd[j] * alike[choice][j];
      if (cost < least - 1e-9) [least, best] = [cost, choice];
    }
    placed.push({ x, y, choice: best });
    palette.set(group.group, choices[best].rgb);
  }
  palette.set(NOWHERE, dark() ? [120, 125, 132] : [150, 153, 158]);
  return palette;
}

function palette() {
  if (!palettes.has(state.level)) palettes.set(state.level, makePalette(state.level));
  return palettes.get(state.level);
}
const colorOf = (group) => `rgb(${palette().get(group).join(" ")})`;

// The most central picture marks a group's place: a mean could fall between two halves.
function center(group) {
  const row = group.prototypes.find((item) => D.x[item] >= 0);
  return row === undefined ? null : [D.x[row], D.y[row]];
}
