module example.com/badhouse

go 1.26
