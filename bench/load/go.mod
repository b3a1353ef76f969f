module nanocluster/load

go 1.23
