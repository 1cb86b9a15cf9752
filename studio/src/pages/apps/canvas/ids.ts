/** Places of the page to which the keyboard goes. */

/** Settings of the chosen application. */
export const INSPECTOR = "compose-inspector";
/** The list of applications that it can be linked to. */
export const LINK_TO = "compose-link-to";
