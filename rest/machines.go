package rest

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/rest/api"
)

func (s *server) readyz(c *gin.Context) {
	if err := s.Machines.Ready(); err != nil {
		s.fail(c, err)
		return
	}
	c.String(http.StatusOK, "ready\n")
}

// status answers with all that one screen shows, and as much of it as is known.
func (s *server) status(c *gin.Context) {
	ctx := c.Request.Context()
	answer := api.Status{
		Node: s.Node, Version: s.Version, Ready: true,
		Nodes: []api.Node{}, Disks: []api.Disk{}, Volumes: []api.Volume{},
	}
	if err := s.Machines.Ready(); err != nil {
		problem := s.problemOf(c, err)
		answer.Ready, answer.Problem = false, &problem
	}
	// Before the cluster is known each of these fails for the reason given above.
	nodes, _ := s.Machines.Nodes(ctx)
	for i := range nodes {
		answer.Nodes = append(answer.Nodes, nodeOf(&nodes[i]))
	}
	disks, _ := s.Machines.Disks(ctx)
	for i := range disks {
		answer.Disks = append(answer.Disks, diskOf(&disks[i]))
	}
	volumes, _ := s.Volumes.Volumes(ctx)
	for i := range volumes {
		answer.Volumes = append(answer.Volumes, volumeOf(&volumes[i]))
	}
	c.JSON(http.StatusOK, answer)
}

func (s *server) listNodes(c *gin.Context) {
	all, err := s.Machines.Nodes(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	list := api.List[api.Node]{Items: []api.Node{}}
	for i := range all {
		list.Items = append(list.Items, nodeOf(&all[i]))
	}
	c.JSON(http.StatusOK, list)
}

func (s *server) getNode(c *gin.Context) {
	all, err := s.Machines.Nodes(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	for i := range all {
		if n := nodeOf(&all[i]); n.ID == c.Param("id") || n.Name == c.Param("id") {
			c.JSON(http.StatusOK, n)
			return
		}
	}
	s.fail(c, nodeNotFound(c.Param("id")))
}

func (s *server) listDisks(c *gin.Context) {
	all, err := s.Machines.Disks(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	list := api.List[api.Disk]{Items: []api.Disk{}}
	for i := range all {
		list.Items = append(list.Items, diskOf(&all[i]))
	}
	c.JSON(http.StatusOK, list)
}
