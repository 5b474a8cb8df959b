// What the address of the page names: a view, which groups it shows if they are not the user's own, and the picture that
// is seen large. For example `#/group/3?groups=40&picture=17`.

export function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const asked = new URLSearchParams(query);
  const number = (key) => (/^\d{1,9}$/.test(asked.get(key) ?? "") ? Number(asked.get(key)) : null);
  let argument = rest.join("/");
  try {
    argument = decodeURIComponent(argument);
  } catch { /* a broken address is taken as it is */ }
  const groups = number("groups");
  return { name, argument, groups, picture: number("picture"), base: groups === null ? path : `${path}?groups=${groups}` };
}

// The address of the same view with a picture seen large.
export function withPicture(row) {
  const { base } = address();
  return `#/${base}${base.includes("?") ? "&" : "?"}picture=${row}`;
}
