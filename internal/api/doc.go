// Package api serves HTTP: requests in, calls of the node behind it, JSON out.
//
// It judges the form of a request and nothing else: who asks, whether the route
// exists, whether the body is JSON with known fields of the right types. What a
// request means (ranges, models, where callbacks may go) is judged by
// [node.Node.Submit]. It knows no SQL, no provider and no policy.
//
// # The way of a request
//
//	admit   Host, loop            whatever is asked for            admit.go
//	route   404, 405              the table                        routes.go
//	page    204                   a browser that asks (CORS)       origin.go
//	key     401                   all but the open routes          auth.go
//	origin  403                   what changes something           origin.go
//	query   400                   known parameters, each once      query.go
//	body    415, 413, 503         read under the memory budget     body.go
//	decode  400                   strict, names the field          decode.go, scan.go
//	serve                         a file for each handler          generate.go, …
//	answer                        JSON, or the error's             handle.go, errors.go
//	stream                        in its place: SSE, WebSocket     stream.go, websocket.go
//
// # Invariants
//
//   - A handler returns a reply or an error; it never writes to the client. Only what a
//     reply gives to stream does, once nothing can be refused any more. One table maps
//     errors to status codes, and one place logs the internal ones.
//   - A reader of a stream costs only itself: what is written to it has a deadline, and
//     nobody waits for it. Shutdown waits for all of them (readers.go).
//   - Nothing is read without a bound: bodies, headers, nesting, the time that a
//     body may take, connections.
//   - No key, no token, no body and no query reaches a log.
package api
