// SPDX-License-Identifier: Apache-2.0

// parse.go - what Go's net/http makes of bytes on a connection. Cases and answers as http1_parse.c has them.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
)

type message struct {
	Start    []any       `json:"start"`
	Fields   [][2]string `json:"fields"`
	Body     string      `json:"body"`
	Complete bool        `json:"complete"`
}

type result struct {
	Messages []message `json:"messages"`
	Error    *string   `json:"error"`
}

// JSON strings are Unicode: a byte is a character.
func latin(s string) string {
	r := make([]rune, len(s))
	for i := range r {
		r[i] = rune(s[i])
	}
	return string(r)
}

func fields(h http.Header, host string) [][2]string {
	all := [][2]string{}
	if host != "" {
		all = append(all, [2]string{"host", latin(host)})
	}
	for name, values := range h {
		for _, v := range values {
			all = append(all, [2]string{latin(name), latin(v)})
		}
	}
	return all
}

func read(in *bufio.Reader, response bool) (*message, error) {
	m := &message{}
	var body io.ReadCloser
	if response {
		r, err := http.ReadResponse(in, &http.Request{Method: "POST"})
		if err != nil {
			return nil, err
		}
		m.Start, m.Fields, body = []any{r.StatusCode, r.ProtoMinor}, fields(r.Header, ""), r.Body
	} else {
		r, err := http.ReadRequest(in)
		if err != nil {
			return nil, err
		}
		m.Start, m.Fields, body = []any{latin(r.Method), latin(r.RequestURI), r.ProtoMinor}, fields(r.Header, r.Host), r.Body
	}
	data, err := io.ReadAll(body)
	m.Body, m.Complete = hex.EncodeToString(data), err == nil
	return m, err
}

func main() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	response := os.Args[1] == "response"
	for {
		var length uint32
		if binary.Read(in, binary.BigEndian, &length) != nil {
			return
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(in, data); err != nil {
			panic(err)
		}
		reader, r := bufio.NewReader(bytes.NewReader(data)), result{Messages: []message{}}
		for {
			if _, err := reader.Peek(1); err != nil {
				break
			}
			m, err := read(reader, response)
			if m != nil {
				r.Messages = append(r.Messages, *m)
			}
			if err != nil {
				text := err.Error()
				r.Error = &text
				break
			}
		}
		out.Encode(r)
	}
}
