// The options of a test program: as parseArgs has them; an unknown or wrong one ends the program with 2 and one line.
import { parseArgs } from "node:util";

export function readArguments(program, config) {
  try {
    return parseArgs(config);
  } catch (error) {
    console.error(`${program}: ${error.message}`);
    process.exit(2);
  }
}
