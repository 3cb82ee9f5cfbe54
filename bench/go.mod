module github.com/ringback/ringback/bench

go 1.26
