module github.com/lagan-storage/lagan

go 1.26
