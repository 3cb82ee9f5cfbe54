// Package openapi writes the OpenAPI document of the API.
//
// It only states what is stated elsewhere first:
//
//   - which operations there are, and how they may answer: the table of routes that the
//     server uses, passed to [Document];
//   - which fields a body has, and their types: the structs of package ringback, by
//     reflection;
//   - what all that means, with an example of each: docs/api.md and docs/webhooks.md, read
//     at run time (manual.go);
//   - the bounds of numbers: [check.Ranges].
//
// The rest, enumerations, formats and lengths, is in facts.go, and tests compare it with
// what the server accepts and returns.
package openapi
