module nanocluster/peers

go 1.23

require (
	github.com/gorilla/websocket v1.4.2
	github.com/lonng/nano v0.5.1
	google.golang.org/grpc v1.39.0
	google.golang.org/protobuf v1.27.1
)

require (
	github.com/bwmarrin/snowflake v0.3.0 // indirect
	github.com/golang/protobuf v1.5.2 // indirect
	golang.org/x/net v0.0.0-20210614182718-04defd469f4e // indirect
	golang.org/x/sys v0.0.0-20210630005230-0f9fa26af87c // indirect
	golang.org/x/text v0.3.6 // indirect
	google.golang.org/genproto v0.0.0-20210630183607-d20f26d13c79 // indirect
)
