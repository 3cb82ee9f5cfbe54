// Package api serves HTTP: it decodes requests, calls the node, and encodes the result as
// JSON.
//
// It checks only the form of a request: who is calling, whether the route exists, whether
// the body is JSON with known fields of the right types. [node.Node.Submit] checks what a
// request means (ranges, models, where callbacks may go). The package knows no SQL, no
// provider and no policy.
//
// # The path of a request
//
//	admit   Host, loop            every request                    admit.go
//	route   404, 405              the table                        routes.go
//	page    204                   a browser's preflight (CORS)     origin.go
//	key     401                   all but the open routes          auth.go
//	origin  403                   requests that change something   origin.go
//	query   400                   known parameters, each once      query.go
//	body    415, 413, 503         read within its pool of memory    body.go
//	decode  400                   strict, names the field          decode.go, scan.go
//	serve                         a file for each handler          generate.go, …
//	answer                        JSON, or the error's             handle.go, errors.go
//	stream                        instead: SSE, WebSocket          stream.go, fanout/
//
// # Invariants
//
//   - A handler returns a reply or an error; it never writes to the client. Only a reply's
//     stream does, once nothing can be refused anymore. One table maps errors to status
//     codes, and one place logs the internal ones.
//   - A reader of a stream costs only itself: writes to it have a deadline, and nobody
//     waits for it. Shutdown waits for all readers (fanout/).
//   - Nothing is read without a bound: bodies, headers, nesting, the time that a body may
//     take, connections.
//   - No key, no token, no body and no query reaches a log.
package api
