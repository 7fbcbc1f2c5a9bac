// Command grafanacheck looks at dashboards with Go code of Grafana's makers: `model` reads files with the types of the Foundation SDK and refuses what
// these do not know; `frames` asks ClickHouse and makes of the answers the data frames that the plugin SDK makes. It prints a JSON line for each.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
)

var (
	address  = flag.String("address", "", "host:port of the server's native protocol")
	password = flag.String("password-file", "", "file with the password of reader")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	var err error
	switch flag.Arg(0) {
	case "model":
		err = models(flag.Args()[1:])
	case "frames":
		err = frames(flag.Arg(1))
	default:
		err = fmt.Errorf("expected model or frames, got %q", flag.Arg(0))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// verdict is what is printed of a file or a query.
type verdict struct {
	Name   string  `json:"name"`
	Error  string  `json:"error,omitempty"`
	Panels int     `json:"panels,omitempty"`
	Rows   int     `json:"rows"`
	Fields []field `json:"fields,omitempty"`
}

type field struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"`
	Labels map[string]string `json:"labels,omitempty"`
}

func say(result verdict) {
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
