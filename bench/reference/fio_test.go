package reference

import (
	"testing"

	"github.com/lagan-storage/lagan/bench/load"
)

const fioReport = `{"fio version": "fio-3.33", "jobs": [{
  "read": {"iops": 0, "clat_ns": {}},
  "write": {"iops": 2000.5, "bw": 8002, "total_ios": 2000, "runtime": 1000,
    "clat_ns": {"percentile": {"50.000000": 40000, "99.000000": 90000, "99.900000": 100000}}},
  "sync": {"lat_ns": {"percentile": {"50.000000": 60000, "99.000000": 10000, "99.900000": 0}}},
  "usr_cpu": 3.0, "sys_cpu": 7.0}]}`

func TestReportOfFioIsRead(t *testing.T) {
	for _, synced := range []bool{false, true} {
		f, err := parseFio([]byte(fioReport), "write", synced)
		if err != nil {
			t.Fatal(err)
		}
		p50 := 40.0
		if synced {
			p50 = 100 // a write and its fdatasync
		}
		if f[load.IOPS] != 2000.5 || f[load.P50] != p50 || f[load.CPU] != 50 || f[load.MBps] != 8002*1024/1e6 {
			t.Errorf("synced %t: figures %v", synced, f)
		}
	}
}

func TestReportThatFioDidNotWriteIsRefused(t *testing.T) {
	for _, text := range []string{"", "fio: failed", `{"jobs": []}`} {
		if _, err := parseFio([]byte(text), "write", false); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}
